"""Bodies of megabytes: sent at once, and given up in time where nobody reads them."""

from __future__ import annotations

import socket

import pytest

from lockstep.worker.hosts.client import Detail
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply, Trouble
from tests.unit.client import client
from tests.unit.raw_server import TIMEOUT, RawServer, serving
from tests.waits import PATIENCE

pytestmark = pytest.mark.usefixtures("exchange")
VERBS = ("POST", "PUT", "PATCH", "DELETE")


def large(verb: str, megabytes: int) -> HttpRequest:
    return HttpRequest(verb, "/v1/g", {}, b"x" * megabytes * 1_000_000)


@pytest.mark.parametrize("verb", VERBS)
def test_a_large_body_leaves_without_a_wait_for_leave(verb: str) -> None:
    """libcurl asks for it by itself from 1 MB on, and only then waits."""

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with serving(behave) as server:
        assert client(server.url).ask(large(verb, 3)) == Reply(201, b"")
    head, _, body = bytes(server.received).partition(b"\r\n\r\n")
    assert b"\r\nexpect" not in head.lower()
    assert body == large(verb, 3).body


def test_a_large_body_that_nobody_reads_ends_in_time() -> None:
    """It is more than a connection holds, so that its end never leaves."""

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.received += peer.recv(1)
        server.closing.wait(TIMEOUT)

    with serving(behave) as server:
        said = client(server.url, read_timeout=0.5).ask(large("POST", 20))
    assert said == NoReply(Trouble.LOST, Detail.SILENT)
    assert (server.accepted, len(server.received)) == (1, 1)


def test_a_large_body_that_is_read_too_slowly_ends_with_the_call() -> None:
    """Something always moves, so that nothing but the call's own bound ends it."""

    def behave(server: RawServer, peer: socket.socket) -> None:
        while not server.closing.wait(0.2) and peer.recv(1_000_000):
            pass

    with serving(behave) as server:
        host = client(server.url, connect_timeout=1.0, read_timeout=1.0, call_timeout=1.0)
        said = host.ask(large("POST", 20))
        assert server.closed.wait(PATIENCE), "the connection is given up"
    assert said == NoReply(Trouble.LOST, Detail.OVERLONG)
    assert server.accepted == 1
