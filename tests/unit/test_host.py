"""Each row of the protocol's classification table, through the real client."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import responses

from lockstep.producer import looks
from lockstep.worker.hosts.client import Carry
from lockstep.worker.operation.answer import LookVerdict, StopOrdered
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, Presence, Seen
from tests.unit import client as carried
from tests.unit.client import ATTEMPT, URL, G, client, write
from tests.unit.raw_server import RawServer, serving
from tests.unit.stub_web import StubWeb, serving_stub

CREATE, DELETE = Action.CREATE, Action.DELETE
METHOD = {CREATE: "POST", DELETE: "DELETE"}
GROUPS = f"{URL}/v1/group/"
BODY = '{"groupId": "g", "colour": "red"}'


pytestmark = pytest.mark.usefixtures("exchange")
Web = responses.RequestsMock | StubWeb


@pytest.fixture
def web(exchange: Carry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The host that every client of this test reaches."""
    if exchange is looks.exchange:
        with responses.RequestsMock() as mock:
            yield mock
        return
    with serving_stub() as stub:
        there = f"http://127.0.0.1:{stub.port}"
        monkeypatch.setattr(
            carried, "carry", lambda asked: exchange(replace(asked, host=replace(asked.host, url=there)))
        )
        yield stub


@pytest.mark.parametrize(
    ("action", "status", "wrote"),
    [
        (CREATE, 201, Effect.APPLIED),
        (DELETE, 200, Effect.APPLIED),
        (CREATE, 200, Effect.UNKNOWN),
        (DELETE, 204, Effect.UNKNOWN),
        (CREATE, 400, Effect.CONTESTED),
        (CREATE, 409, Effect.CONTESTED),
        (DELETE, 400, Effect.CONTESTED),
        (DELETE, 404, Effect.CONTESTED),
        (CREATE, 404, Effect.REFUSED),
        *[(action, status, Effect.REFUSED) for action in Action for status in (401, 403, 405, 413, 415, 422)],
        *[(action, status, Effect.UNKNOWN) for action in Action for status in (408, 429, 500, 502, 503, 504)],
        *[(each, status, Effect.MISDIRECTED) for each in Action for status in (301, 302, 307, 308)],
    ],
)
def test_a_write_means_what_its_status_means(web: Web, action: Action, status: int, wrote: Effect) -> None:
    web.add(METHOD[action], GROUPS, status=status, headers={"Location": "http://elsewhere/"})
    answer = write(client(), action)
    assert answer.effect is wrote
    assert str(status) in answer.text


@pytest.mark.parametrize("body", ["<html>ok</html>", '{"groupId": "another"}', "x" * 300_000])
@pytest.mark.parametrize(("action", "status"), [(CREATE, 201), (DELETE, 200)])
def test_a_success_with_a_strangers_body_is_unknown(web: Web, action: Action, status: int, body: str) -> None:
    web.add(METHOD[action], GROUPS, status=status, body=body)
    assert write(client(), action).effect is Effect.UNKNOWN


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("9" * 400, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_in_seconds(web: Web, status: int, header: str, seconds: float | None) -> None:
    web.add("POST", GROUPS, status=status, headers={"Retry-After": header})
    web.add("GET", f"{GROUPS}g/", status=status, headers={"Retry-After": header})
    answer = write(client())
    assert (answer.effect, answer.retry_after) == (Effect.UNKNOWN, seconds)
    assert client().look_at_group(G).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "body", "look", "seen"),
    [
        (200, BODY, LookVerdict.SEEN, Seen(Presence.PRESENT, BODY)),
        (404, "", LookVerdict.SEEN, Seen(Presence.ABSENT)),
        (404, "<html>no</html>", LookVerdict.SEEN, Seen(Presence.ABSENT)),
        (200, "<html>ok</html>", LookVerdict.NO_INFORMATION, None),
        (200, '{"groupId": "another"}', LookVerdict.NO_INFORMATION, None),
        (200, "x" * 300_000, LookVerdict.OVERSIZED, None),
        *[(status, "", LookVerdict.NO_INFORMATION, None) for status in (408, 429, 500, 502, 503, 504)],
        *[
            (status, "", LookVerdict.MISCONFIGURED, None)
            for status in (401, 403, 405, 301, 302, 307, 400, 410)
        ],
    ],
)
def test_a_probe_means_what_its_answer_means(
    web: Web, status: int, body: str, look: LookVerdict, seen: Seen | None
) -> None:
    web.add("GET", f"{GROUPS}g/", status=status, body=body, headers={"Location": "http://elsewhere/"})
    answer = client().look_at_group(G)
    assert (answer.verdict, answer.seen) == (look, seen)


@pytest.mark.parametrize("action", Action)
def test_a_write_carries_the_group_as_json_and_names_its_attempt(web: Web, action: Action) -> None:
    web.add(METHOD[action], GROUPS, status=500)
    write(client(), action)
    request = web.calls[0].request
    assert json.loads(request.body or b"") == {"groupId": "g"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Lockstep-Attempt"] == ATTEMPT
    assert "Authorization" not in request.headers


def test_a_restored_group_is_sent_as_it_was(web: Web) -> None:
    web.add("POST", GROUPS, status=201)
    write(client(), body=BODY)
    assert web.calls[0].request.body == BODY.encode()


def test_a_redirect_is_not_followed(web: Web) -> None:
    web.add("GET", f"{GROUPS}g/", status=302, headers={"Location": f"{GROUPS}g/"})
    client().look_at_group(G)
    assert len(web.calls) == 1


def test_the_token_is_read_for_each_call(web: Web, tmp_path: Path) -> None:
    file = tmp_path / "token"
    host = client(token_file=str(file))
    web.add("GET", f"{GROUPS}g/", status=404)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        host.look_at_group(G)
    sent = [call.request.headers["Authorization"] for call in web.calls]
    assert sent == ["Bearer first", "Bearer second"]


def test_without_its_token_nothing_is_sent(tmp_path: Path) -> None:
    host = client(token_file=str(tmp_path / "missing"))
    answer = write(host)
    assert answer.effect is Effect.NOT_APPLIED
    assert "node1" in answer.text
    assert str(tmp_path) not in answer.text
    assert host.look_at_group(G).verdict is LookVerdict.NO_INFORMATION


def test_a_stopping_worker_starts_no_call() -> None:
    host = client(stopping=lambda: True)
    with pytest.raises(StopOrdered):
        host.look_at_group(G)


def test_a_name_that_does_not_resolve_is_not_applied() -> None:
    answer = write(client("http://node1.invalid:8080"))  # RFC 6761: nobody resolves it
    assert (answer.effect, answer.text) == (Effect.NOT_APPLIED, "not sent: name not resolved")


@pytest.mark.parametrize(
    ("date", "header", "seconds"),
    [
        ("Sat, 28 Nov 2026 10:00:00 GMT", "Sat, 28 Nov 2026 10:00:16 GMT", 16.0),
        ("Sat, 28 Nov 2026 10:00:00 GMT", "Sat, 28 Nov 2026 09:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:02:00 GMT", 120.0),
        (None, "Sat, 28 Nov 2026 10:00:16 GMT", None),
        ("now", "Sat, 28 Nov 2026 10:00:16 GMT", None),
        ("Sat, 28 Nov 2026 10:00:00 GMT", "soon", None),
    ],
)
def test_a_date_to_come_back_at_is_read_against_the_answers_own(
    date: str | None, header: str, seconds: float | None
) -> None:
    headers = {"Retry-After": header, **({"Date": date} if date else {})}

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        peer.sendall(f"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{lines}\r\n".encode())

    with serving(behave) as server:
        assert client(server.url).look_at_group(G).retry_after == seconds
