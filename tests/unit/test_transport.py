"""Connections that break, hang and drip, on a real socket."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Detail, SystemClock
from lockstep.worker.operation.answer import HttpRequest, LookVerdict, NoReply, Reply, Trouble
from lockstep.worker.operation.content import Effect
from tests.unit import client as carried
from tests.unit.client import G, client, write
from tests.unit.raw_server import TIMEOUT, RawServer, refusing_port, reset, serving
from tests.waits import PATIENCE

by_each = pytest.mark.usefixtures("exchange")
LONGEST = 1.0 + 2.0
"""The call's own bound, and as much again as a busy machine may need."""
SILENT: dict[str, Any] = {"read_timeout": 0.5}
DRIPPING: dict[str, Any] = {"connect_timeout": 1.0, "read_timeout": 1.0, "call_timeout": 1.0}
"""One bound alone can be the first to pass, however long who answers does not get the processor."""
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
FOUND = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class JumpingClock(SystemClock):
    """Goes on by a minute after so many readings, as a suspended machine's does."""

    def __init__(self, readings: int) -> None:
        self._left = readings

    def elapsed(self) -> float:
        self._left -= 1
        return super().elapsed() + (60.0 if self._left < 0 else 0.0)


@by_each
def test_a_refused_connection_is_not_applied() -> None:
    host = client(f"http://127.0.0.1:{refusing_port()}")
    assert write(host).effect is Effect.NOT_APPLIED
    assert write(host).text == "not sent: connection refused"
    assert host.look_at_group(G).verdict is LookVerdict.NO_INFORMATION


@by_each
def test_a_reset_after_the_request_is_unknown() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        reset(peer)

    with serving(behave) as server:
        answer = write(client(server.url))
    assert (answer.effect, answer.text) == (Effect.UNKNOWN, "answer lost: connection reset")
    assert b'{"groupId": "g"}' in server.received


@by_each
@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 201 Cre",
        b"HTTP/1.1 201 Created\r\nContent-Le",
        b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{",
    ],
)
def test_an_end_before_the_answer_is_complete_is_unknown(part: bytes) -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(part)

    with serving(behave) as server:
        host = client(server.url)
        assert write(host).effect is Effect.UNKNOWN
        assert host.look_at_group(G).verdict in (LookVerdict.NO_INFORMATION, LookVerdict.MISCONFIGURED)


@by_each
def test_an_answer_in_order_is_applied() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(CREATED)

    with serving(behave) as server:
        assert write(client(server.url)).effect is Effect.APPLIED


@by_each
@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nContent-Length: 7\r\n\r\n" * 2,
    ],
)
def test_the_answer_is_the_one_that_follows_an_interim_answer(interim: bytes) -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        while asked := server.request(peer):
            peer.sendall(interim + (CREATED if asked.startswith(b"POST") else ABSENT))

    with serving(behave) as server:
        host = client(server.url)
        assert write(host).effect is Effect.APPLIED
        assert host.look_at_group(G).seen
        assert server.accepted == (1 if carried.carry is curl.exchange else 2)


@by_each
def test_an_interim_answer_and_no_other_is_unknown() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")

    with serving(behave) as server:
        answer = write(client(server.url))
    assert (answer.effect, answer.text) == (Effect.UNKNOWN, "answer lost: closed without a whole answer")


@by_each
def test_a_connection_that_switched_protocols_is_not_used_again() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        server.until_closed(peer)

    with serving(behave) as server:
        host = client(server.url)
        assert write(host).effect is Effect.UNKNOWN
        assert host.look_at_group(G).verdict is LookVerdict.MISCONFIGURED
        assert server.accepted == 2


@by_each
def test_silence_ends_after_the_read_timeout() -> None:
    with serving(RawServer.until_closed) as server:
        start = time.monotonic()
        answer = write(client(server.url, **SILENT))
        assert time.monotonic() - start < LONGEST
    assert (answer.effect, answer.text) == (Effect.UNKNOWN, "answer lost: read timeout")


@by_each
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (FOUND + b"Content-Length: 100000\r\n\r\n", b" "),
        (FOUND + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["headers", "interim answers", "body", "chunks"],
)
def test_a_dripping_answer_ends_with_the_call_timeout(head: bytes, drop: bytes) -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(head)
        server.drip(peer, drop)

    with serving(behave) as server:
        host = client(server.url, **DRIPPING)
        start = time.monotonic()
        answer = write(host)
        assert time.monotonic() - start < LONGEST
        assert (answer.effect, answer.text) == (
            Effect.UNKNOWN,
            "answer lost: the call took longer than call_timeout",
        )
        assert server.closed.wait(PATIENCE), "the connection is given up, not left dripping"
        assert host.look_at_group(G).verdict is LookVerdict.NO_INFORMATION


@by_each
def test_a_body_over_the_cap_is_not_read_to_its_end() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(FOUND + b"Content-Length: 1000000000\r\n\r\n")
        while not server.closing.is_set():
            peer.sendall(b"x" * 65536)

    with serving(behave) as server:
        host = client(server.url, max_body_bytes=100_000)
        assert host.look_at_group(G).verdict is LookVerdict.OVERSIZED
        assert server.closed.wait(PATIENCE)


@by_each
def test_past_send_before_no_byte_leaves() -> None:
    with serving(RawServer.until_closed) as server:
        answer = write(client(server.url), within=-0.001)
        assert (answer.effect, answer.text) == (
            Effect.NOT_APPLIED,
            "too late to send: the time to send had passed",
        )
    assert bytes(server.received) == b""


@by_each
def test_the_time_to_send_is_looked_at_after_connecting() -> None:
    with serving(RawServer.until_closed) as server:
        clock = JumpingClock(readings=1)  # the second reading is the guard's
        answer = write(client(server.url), within=30.0, clock=clock)
        assert answer.effect is Effect.NOT_APPLIED
        assert server.connected.wait(PATIENCE), "it had connected"
    assert bytes(server.received) == b""


def test_a_kept_connection_is_guarded_too() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        server.until_closed(peer)

    with serving(behave) as server:
        host = client(server.url)
        assert host.look_at_group(G).verdict is LookVerdict.SEEN
        got = len(server.received)
        assert write(host, within=-1.0).effect is Effect.NOT_APPLIED
    assert (len(server.received), server.accepted) == (got, 1)


@by_each
def test_a_look_by_head_waits_for_no_body() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(FOUND + b"Content-Length: 16\r\n\r\n")
        server.until_closed(peer)

    with serving(behave) as server:
        assert client(server.url).ask(HttpRequest("HEAD", "/v1/g", {}, None)) == Reply(200, b"")
    assert server.received.startswith(b"HEAD /v1/g HTTP/1.1\r\n")


@by_each
def test_a_worker_told_to_stop_while_connecting_sends_nothing() -> None:
    with serving(RawServer.until_closed) as server:
        answer = write(client(server.url, stopping=lambda: True))
        assert answer.effect is Effect.NOT_APPLIED
    assert bytes(server.received) == b""


@by_each
def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{refusing_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{refusing_port()}")

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(CREATED)

    with serving(behave) as server:
        assert write(client(server.url)).effect is Effect.APPLIED


@by_each
def test_a_chunk_of_less_than_nothing_is_no_answer() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n")

    with serving(behave) as server:
        answer = write(client(server.url, **DRIPPING))
    assert answer.effect is Effect.UNKNOWN


def test_a_call_that_took_too_long_says_so_where_its_timer_comes_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks._Call, "_expire", lambda *_: None)
    monkeypatch.setattr(carried, "carry", looks.exchange)

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.closing.wait(TIMEOUT)

    with serving(behave) as server:
        said = client(server.url, **DRIPPING).ask(HttpRequest("GET", "/"))
    assert said == NoReply(Trouble.LOST, Detail.OVERLONG)
