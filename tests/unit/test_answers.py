"""The table of answers: what each means, whatever carries the call, and that a host was asked once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from lockstep.worker.hosts.client import HostClient
from lockstep.worker.operation.content import Effect, Flaw
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, HostName
from tests.unit.answer_server import KEEP, Answering, answering
from tests.unit.answers import CARRIERS, NOTHING, PATIENT, ROWS, SEEN, USUAL, G, Met, http, meet, served


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with served() as running:
        yield running


def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 40


@pytest.fixture(scope="module")
def slow(server: Answering) -> dict[tuple[str, str], Met]:
    """All that is ended by time alone, at the same time, so that each may take its time."""
    names = [name for name, row in ROWS.items() if row.settings is PATIENT]
    found: dict[tuple[str, str], Met] = {}
    with ThreadPoolExecutor(len(names)) as pool:
        for carrier in CARRIERS:
            came = pool.map(partial(meet, server, carrier=carrier), names)
            found |= {(name, carrier): each for name, each in zip(names, came, strict=True)}
    return found


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("name", ROWS)
def test_an_answer_has_one_meaning_and_the_host_one_request(
    server: Answering, name: str, carrier: str, request: pytest.FixtureRequest
) -> None:
    row = ROWS[name]
    look, wrote = (row.by_requests if carrier == "requests" else None) or (row.look, row.verdict)
    if row.settings is PATIENT:
        found: dict[tuple[str, str], Met] = request.getfixturevalue("slow")
        met = found[name, carrier]
    else:
        met = meet(server, name, carrier)
    assert met[:4] == (look, row.sent, wrote, 2 * row.sent), met[4]


SHORT = "unreadable: the body is shorter than its Content-Length, or its chunks, say"
NO_JSON = "200, unreadable: the body is no JSON, or was cut off by a wrong Content-Length"
ENCODED = "unreadable: the body is encoded, which was not asked for, and not as it says"
MANY = "unreadable: it has more than 5000 headers, one over 100 KB, or 300 KB of them"
WHY = {
    "no gzip": (ENCODED, ENCODED),
    "more than a brotli": (ENCODED, "200, unreadable: the body is not UTF-8"),
    "unknown encoding": (ENCODED, NO_JSON),
    "5,001 headers": (MANY, MANY),
    "too large a header": (MANY, MANY),
    "too large headers": (MANY, MANY),
    "Latin-1": ("200, unreadable: the body is not UTF-8",) * 2,
    "length too large": (SHORT, SHORT),
    "length too small": (NO_JSON, NO_JSON),
    "another group": ("200, unreadable: the body is that of another id",) * 2,
    "no HTTP": ("unreadable: it is no HTTP",) * 2,
    "HTTP/2 unasked": ("unreadable: it is no HTTP",) * 2,
    "silence after the head": (
        "unreadable: the body stood still before the end that its Content-Length gives",
    )
    * 2,
}  # fmt: skip


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("name", WHY)
def test_an_answer_that_cannot_be_read_says_why(server: Answering, name: str, carrier: str) -> None:
    row, path = ROWS[name], name.replace(" ", "_").replace("/", "-")
    host = HostClient(Host(HostName("node1"), f"{server.url}/{path}"), row.settings, CARRIERS[carrier])
    found = host.look_at_group(G)
    assert (found.verdict, found.text) == (NOTHING, WHY[name][carrier == "requests"])
    assert found.flaw is Flaw.UNREADABLE, "the host lives"
    said = host.write(Action.CREATE, G, AttemptId("a1"), lambda: True)
    assert said.effect is not Effect.NOT_APPLIED
    assert "unreadable: " in said.text


def test_a_group_is_read_over_ipv6_and_below_a_prefix() -> None:
    rows = {"prefix": KEEP + http()}
    for carry in CARRIERS.values():
        with answering(rows, "::1") as server:
            found = HostClient(
                Host(HostName("n"), f"{server.url}/prefix/of/its/own"), USUAL, carry
            ).look_at_group(G)
            assert (found.verdict, server.asked["prefix"]) == (SEEN, 1)
