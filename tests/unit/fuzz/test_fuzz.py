"""What outsiders give is used or refused in one line; nothing is written, and nothing hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from lockstep.producer.client.selection import parse_condition
from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.kinds.rules import read_file
from lockstep.worker.operation import names
from lockstep.worker.operation.answer import LookVerdict
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import parse_url
from lockstep.worker.operation.model import Action
from lockstep.worker.operation.waves import parse_health, parse_span
from lockstep.worker.settings import PREFIX, TYPES, Settings, load_settings
from tests.unit.client import G, client, write
from tests.unit.raw_server import RawServer, serving

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
LONGEST = 30.0
"""Seconds after which an example hangs; each takes milliseconds."""
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
CORPUS = os.environ.get("FUZZ_CORPUS")
if CORPUS is not None:  # else continuous integration would repeat itself, and keep nothing
    fuzz = settings(fuzz, derandomize=False, database=DirectoryBasedExampleDatabase(CORPUS))

texts = st.text(max_size=40)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
huge = st.sampled_from([10**400, -(10**400), 10**5000])
"""More than a float can hold, or than Python writes."""


class Hangs(BaseException):
    """Caught by nobody."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fail what does not come back."""

    def over(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"this took longer than {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refused_in_one_line(take: Callable[[], object]) -> str | None:
    """Return the refusal, None if it is taken; whatever else is raised is a finding."""
    said = None
    with in_time():
        try:
            take()
        except InvalidInput as error:
            said = str(error)
    assert said is None or (said.strip() and "\n" not in said)
    return said


# --- answers of hosts -------------------------------------------------------------------------------------


class Host:
    """A host that answers each request with what it is told to, and then leaves."""

    def __init__(self) -> None:
        self.url = ""
        self.answer = b""
        self.requests: list[bytes] = []

    def behave(self, server: RawServer, peer: socket.socket) -> None:
        request = server.request(peer)
        if request:
            self.requests.append(request)
            peer.sendall(self.answer)
            peer.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with serving(made.behave) as server:
        made.url = server.url
        yield made


statuses = st.sampled_from([100, 103, 200, 201, 204, 206, 301, 304, 400, 401, 404, 409, 408, 429, 500, 503])
bodies = st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode())
headers = st.lists(
    st.tuples(
        st.sampled_from(["Content-Type", "Content-Length", "Retry-After", "Date", "Transfer-Encoding", "X"])
        | st.text("abcXYZ-:\x00 ", max_size=8),
        st.sampled_from(["chunked", "gzip", "0", "5", "99999999999999999999", "-1", "Thu, 01 Jan 1970"])
        | texts,
    ),
    max_size=5,
)
answers = st.binary(max_size=200) | st.builds(
    lambda version, status, pairs, end, body: b"".join(
        [
            f"HTTP/{version} {status} said\r\n".encode(),
            *(f"{name}: {value}\r\n".encode("utf-8", "replace") for name, value in pairs),
            end,
            body,
        ]
    ),
    st.sampled_from(["1.1", "1.0", "0.9", "2", "9"]),
    statuses | st.integers(-1, 1000),
    headers,
    st.sampled_from([b"\r\n", b"\n", b"", b"\r\n\r\n"]),
    bodies | st.just(b'{"groupId": "g"}'),
)


@fuzz
@given(answer=answers)
def test_an_answer_to_a_look_is_understood_or_says_nothing(host: Host, answer: bytes) -> None:
    host.answer, host.requests = answer, []
    with in_time():
        found = client(host.url, read_timeout=1).look_at_group(G)
    assert all(request.startswith(b"GET ") for request in host.requests)
    if found.verdict is LookVerdict.SEEN:
        assert b" 200" in answer or b" 404" in answer


@fuzz
@given(answer=answers, action=st.sampled_from(Action))
def test_an_answer_to_a_write_counts_as_applied_only_if_it_says_so(
    host: Host, answer: bytes, action: Action
) -> None:
    host.answer, host.requests = answer, []
    with in_time():
        found = write(client(host.url, read_timeout=1), action)
    assert len(host.requests) == 1, "an attempt is one request"
    if found.effect is Effect.APPLIED:
        assert (b" 201" if action is Action.CREATE else b" 200") in answer


# --- files, names and settings ----------------------------------------------------------------------------

INVENTORY = """\
hosts:
  - name: node1
    url: https://node1.example:8443/api/
    labels: {zone: a}
  - name: node2
    url: http://node2
    verify: false
"""
KIND = (Path(names.__file__).parents[1] / "kinds" / "shipped" / "group.yaml").read_text("utf-8")


def mutated(text: str) -> st.SearchStrategy[str]:
    """The text with pieces of it gone, doubled, or replaced."""
    place = st.integers(0, len(text))
    piece = texts | st.sampled_from(
        [": ", "- ", "\n", "{", "}", "[", "&a", "*a", "!!python/object", "<<: ", "\t"]
    )
    edit = st.tuples(place, st.integers(0, 12), piece)

    def edited(edits: list[tuple[int, int, str]]) -> str:
        changed = text
        for at, gone, new in edits:
            changed = changed[:at] + new + changed[at + gone :]
        return changed

    return st.lists(edit, min_size=1, max_size=4).map(edited)


files = st.one_of(
    st.binary(max_size=120),
    mutated(INVENTORY).map(lambda text: text.encode("utf-8", "surrogatepass")),
    anything.map(lambda value: json.dumps({"hosts": value}).encode()),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(content=files)
def test_an_inventory_is_read_or_refused(folder: Path, content: bytes) -> None:
    file = folder / "hosts.yaml"
    file.write_bytes(content)
    refused_in_one_line(lambda: load_inventory(Settings(inventory=str(file))))


@fuzz
@given(urls=texts | st.lists(texts | st.just("http://node1"), max_size=4).map(",".join))
def test_a_list_of_urls_is_read_or_refused(urls: str) -> None:
    def take() -> Inventory:
        return load_inventory(load_settings(hosts=urls))

    refused_in_one_line(take)


@fuzz
@given(text=mutated(KIND) | texts | anything.map(json.dumps))
def test_a_kind_is_read_or_refused(text: str) -> None:
    refused_in_one_line(lambda: read_file("kind.yaml", text))


@fuzz
@given(value=anything | st.binary(max_size=20) | huge, parse=st.sampled_from([
    names.parse_group_id, names.parse_operation_id, names.parse_timeout, names.parse_retries,
    names.parse_limit, parse_condition, parse_url,
    lambda value: names.parse_note("note", value), lambda value: names.parse_deadline(value, 3600.0),
    lambda value: parse_span("bake", value), lambda value: parse_health("host", value),
]))  # fmt: skip
def test_a_name_a_note_or_a_number_is_taken_or_refused(value: Any, parse: Callable[[Any], object]) -> None:
    refused_in_one_line(lambda: parse(value))


@fuzz
@given(
    text=texts
    | st.sampled_from(["99999999999d", "0001-01-01", "9999-12-31T23:59:59-23:59", "9" * 5000 + "d"])
)
def test_a_moment_is_read_or_refused(text: str) -> None:
    refused_in_one_line(lambda: names.parse_moment("since", text, datetime.now(UTC)))


no_nul = texts.map(lambda text: "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff"))
values = no_nul | st.sampled_from(
    ["", "0", "-1", "1e400", "nan", "true", "redis://:x@[::1", "rediss://", "/", "5 "]
)
variables = st.dictionaries(
    st.sampled_from([PREFIX + name.upper() for name in TYPES]) | st.just(f"{PREFIX}UNKNOWN"),
    values,
    min_size=1,
    max_size=4,
)


@contextlib.contextmanager
def environment(given: dict[str, str]) -> Iterator[None]:
    """No setting of whoever runs the tests counts."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@fuzz
@given(variables=variables)
def test_an_environment_is_read_or_refused(variables: dict[str, str]) -> None:
    with environment(variables):
        refused_in_one_line(lambda: load_settings().address)
