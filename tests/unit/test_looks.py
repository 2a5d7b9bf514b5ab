"""Calls over requests, part by part: heads of answers, the time of a call, and what an error is told as."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer import looks
from lockstep.producer.looks import exchange
from lockstep.worker.hosts.client import Detail, no_tls
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from tests.unit.raw_server import RawServer, serving
from tests.unit.test_connect_timeout import PATIENT, call

END = b"\r\n"


def heads(*lines: bytes) -> looks._Heads:
    made = looks._Heads(io.BytesIO(b"HTTP/1.1 200 OK\r\n" + b"".join(lines)))
    assert made.readline(65_537) == b"HTTP/1.1 200 OK\r\n"
    return made


def header(size: int) -> bytes:
    return b"X: " + b"x" * (size - 5) + END


@pytest.mark.parametrize(("size", "blocks"), [(18, 2), (20, 3), (9, 1), (0, 0)])
def test_the_lines_of_a_head_come_in_as_few_blocks_as_may_be(size: int, blocks: int) -> None:
    """http.client takes what is as long as it asked for as too long."""
    read = heads(*([header(size)] if size else []), END)
    came = [read.readline(10) for _ in range(blocks + 1)]
    assert (b"".join(came[:-1]), came[-1]) == (header(size) if size else b"", END)
    assert all(0 < len(block) < 10 for block in came)
    with pytest.raises(http.client.RemoteDisconnected):
        read.readline(10)  # a status line again, and there is none


LONGEST, TOO_LONG = header(102_399), header(102_400)
ALL_BUT = [LONGEST, LONGEST, header(102_300)]
"""102 bytes less than 300 KiB."""


@pytest.mark.parametrize(
    "lines",
    [
        [LONGEST],
        [b"X: 1\r\n"] * 5000,
        [*ALL_BUT, header(100)],
    ],
    ids=["a header", "many", "all"],
)
def test_a_head_may_be_as_large_as_libcurl_reads(lines: list[bytes]) -> None:
    read = heads(*lines, END)
    text = b""
    while (block := read.readline(65_537)) != END:
        text += block
    assert text == b"".join(lines)


@pytest.mark.parametrize(
    "lines",
    [
        [TOO_LONG],
        [b"X: 1\r\n"] * 5001,
        [*ALL_BUT, header(101)],
    ],
    ids=["a header", "many", "all"],
)
def test_a_head_that_is_larger_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(http.client.LineTooLong):
        heads(*lines, END).readline(65_537)


def test_a_line_that_is_cut_off_is_none_and_one_that_is_too_long_is_the_readers() -> None:
    assert looks._Heads(io.BytesIO(b"x" * 50)).readline(10) == b"x" * 10
    with pytest.raises(http.client.RemoteDisconnected):
        looks._Heads(io.BytesIO(b"HTTP/1.1 20")).readline(65_537)


@pytest.mark.parametrize("status", [100, 102, 199])
def test_an_interim_answer_is_passed_over(status: int) -> None:
    said = b"HTTP/1.1 %d Wait\r\nX: 1\r\n\r\nHTTP/1.1 204 No\r\n\r\n" % status
    sock: Any = SimpleNamespace(makefile=lambda _: io.BytesIO(said))
    answer = looks._WholeResponse(sock)
    answer.begin()
    assert (answer.status, list(answer.headers)) == (204, [])


class Sock:
    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)


def asked(left: float = 5.0, may_send: bool = True) -> Any:
    settings = SimpleNamespace(connect_timeout=3.0, read_timeout=7.0)
    return SimpleNamespace(left=left, may_send=lambda: may_send, settings=settings, ends=0.0)


@pytest.mark.parametrize(("left", "may_send"), [(0.0, True), (-0.5, True), (5.0, False)])
def test_nothing_is_sent_too_late(left: float, may_send: bool) -> None:
    sock: Any = Sock()
    made = looks._Call(asked(left, may_send))
    with pytest.raises(looks._TooLate):
        made.begin(sock)
    assert (made.sent, made._timer, sock.timeouts) == (False, None, [])
    made.end()


def test_a_call_that_has_begun_is_ended_by_its_timer_or_leaves_the_socket_alone() -> None:
    sock: Any = Sock()
    made = looks._Call(asked(0.5))
    made.begin(sock)
    made.begin(sock)
    assert (made.sent, made.expired, sock.timeouts) == (True, False, [7.0])
    timer = made._timer
    assert timer is not None
    assert timer.daemon
    assert timer.interval == 0.5
    assert timer.is_alive()
    made.end()
    assert timer.finished.is_set()
    near, far = socket.socketpair()
    with near, far:
        made._expire(near)
        assert made.expired
        assert far.recv(1) == b"", "who waits for it is told"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[tuple[str, float]]]:
    """A call with as much time as its test says, and which addresses were tried for how long."""
    tried: list[tuple[str, float]] = []

    def connect(place: tuple[str, int], seconds: float, *_: object) -> Any:
        tried.append((place[0], seconds))
        if place[0] != "10.0.0.3":
            raise ConnectionRefusedError(place[0])
        return made.sock

    made = SimpleNamespace(left=[3.0], sock=Sock(), connects=lambda: None)

    class Timed:
        connects = staticmethod(lambda: None)

        @property
        def to_connect(self) -> float:
            return made.left.pop(0) if len(made.left) > 1 else float(made.left[0])

    found = [(2, 1, 6, "", (f"10.0.0.{n}", 80)) for n in (1, 2, 3)]
    monkeypatch.setattr(looks._thread, "call", Timed(), raising=False)
    monkeypatch.setattr(looks, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    return made, tried


def test_each_address_has_its_share_of_the_time_to_connect(connected: Any) -> None:
    made, tried = connected
    assert looks._Guarded("node.example", 80)._new_conn() == made.sock
    assert tried == [("10.0.0.1", 1.0), ("10.0.0.2", 1.5), ("10.0.0.3", 3.0)]
    assert made.sock.timeouts == [3.0]


def test_the_last_moment_to_connect_is_a_millisecond(connected: Any) -> None:
    made, tried = connected
    made.left = [0.5, -1.0]
    assert looks._Guarded("node.example", 80)._new_conn() == made.sock
    assert [seconds for _, seconds in tried] == [0.001] * 3
    assert made.sock.timeouts == [0.001]


@pytest.mark.parametrize("left", [0.0, -0.5])
def test_a_resolver_that_took_all_the_time_leaves_none_to_connect(connected: Any, left: float) -> None:
    made, tried = connected
    made.left = [left]
    with pytest.raises(TimeoutError):
        looks._Guarded("node.example", 80)._new_conn()
    assert tried == []


OVERLONG = NoReply(Trouble.LOST, Detail.OVERLONG)
REPLY = Reply(200, b"{}", None, {})


@pytest.mark.parametrize(
    ("sent", "expired", "left", "came"),
    [
        (True, False, 0.5, NoReply(Trouble.LOST, "connection reset")),
        (False, False, -1.0, NoReply(Trouble.NOT_SENT, "connection reset")),
        (True, False, 0.0, OVERLONG),
        (True, True, 0.5, OVERLONG),
    ],
)
def test_an_error_is_told_as_the_end_of_the_time_once_that_is_over(
    sent: bool, expired: bool, left: float, came: NoReply, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: object) -> Reply:
        looks._thread.call.sent, looks._thread.call.expired = sent, expired
        raise ConnectionResetError

    monkeypatch.setattr(looks, "_ask", ask)
    assert exchange(asked(left)) == came


@pytest.mark.parametrize(("expired", "came"), [(False, REPLY), (True, OVERLONG)])
def test_an_answer_that_was_cut_off_by_the_timer_is_none(
    expired: bool, came: Reply | NoReply, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: object) -> Reply:
        looks._thread.call.expired = expired
        return REPLY

    monkeypatch.setattr(looks, "_ask", ask)
    assert exchange(asked()) == came


def test_a_call_that_is_over_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    sock: Any = Sock()

    def ask(_: object) -> Reply:
        looks._thread.call.begin(sock)
        return REPLY

    monkeypatch.setattr(looks, "_ask", ask)
    assert exchange(asked()) == REPLY
    assert looks._thread.call._timer.finished.is_set()


def test_an_error_of_tls_is_told_by_its_reason() -> None:
    error = ssl.SSLError(1, "some text")
    error.reason = "WRONG_VERSION_NUMBER"
    assert no_tls("WRONG_VERSION_NUMBER") != no_tls("")
    assert looks._trouble(error, sent=False) == NoReply(Trouble.NOT_SENT, no_tls("WRONG_VERSION_NUMBER"))


def test_the_time_to_connect_begins_when_it_does_and_ends_with_the_call() -> None:
    now = time.monotonic()
    for left, most in ((100.0, 3.0), (1.0, 1.0)):
        given = asked()
        given.ends = now + left
        made = looks._Call(given)
        made.connects()
        assert most - 1 < made.to_connect <= most


def test_of_a_body_without_an_end_no_more_is_read_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no proxy is asked, whatever a shell says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    def answer(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 40_000)
        server.until_closed(peer)

    with serving(answer) as server:
        said, _ = call(exchange, server.url, 10, PATIENT.but(max_body_bytes=9))
    assert isinstance(said, Reply)
    assert said.body is None


@pytest.mark.parametrize(("most", "body"), [(10, b"x" * 10), (9, None)])
def test_a_body_may_be_as_large_as_is_set(most: int, body: bytes | None) -> None:
    def answer(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"x" * 10)

    with serving(answer) as server:
        said, _ = call(exchange, server.url, 30, PATIENT.but(max_body_bytes=most))
    assert isinstance(said, Reply)
    assert said.body == body
