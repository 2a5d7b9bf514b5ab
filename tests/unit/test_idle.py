"""Connections between two calls: one to a host, never one that is of no use, and not too many."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from lockstep.worker.hosts import direct
from lockstep.worker.hosts.direct import DirectConnection, Idle, carrier
from lockstep.worker.hosts.guard import Call, CallInProgress, answered
from tests.unit.client import G, client
from tests.unit.raw_server import RawServer, serving

ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def calls() -> Iterator[None]:
    direct._idle.clear()
    before = carrier.set(direct.exchange)
    yield
    carrier.reset(before)


@pytest.fixture
def pair() -> Iterator[tuple[DirectConnection, socket.socket]]:
    """A connection, and its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = DirectConnection("localhost")
        connection.sock = ours
        yield connection, theirs


def answer_all(server: RawServer, peer: socket.socket) -> None:
    while server.request(peer):
        peer.sendall(ABSENT)


def key(number: int) -> direct.Key:
    return ("http", f"host-{number}", True, None)


def test_a_host_is_called_over_the_same_connection_from_any_thread() -> None:
    with serving(answer_all) as server:
        host = client(server.url)
        for _ in range(3):
            with ThreadPoolExecutor(1) as another:
                assert another.submit(copy_context().run, host.probe, G).result().seen
        assert server.accepted == 1
        direct._idle.clear()


def test_a_connection_is_one_callers(pair: tuple[DirectConnection, socket.socket]) -> None:
    idle = Idle(2)
    idle.keep(key(1), pair[0])
    assert idle.take(key(1)) is pair[0]
    assert idle.take(key(1)) is None


def test_a_connection_that_was_closed_meanwhile_is_not_used(
    pair: tuple[DirectConnection, socket.socket],
) -> None:
    idle = Idle(2)
    idle.keep(key(1), pair[0])
    pair[1].close()
    assert idle.take(key(1)) is None
    assert pair[0].sock is None


def test_a_second_connection_to_a_host_closes_the_first(
    pair: tuple[DirectConnection, socket.socket],
) -> None:
    idle = Idle(2)
    idle.keep(key(1), pair[0])
    idle.keep(key(1), DirectConnection("localhost"))
    assert pair[0].sock is None


def test_the_one_unused_for_longest_makes_room(pair: tuple[DirectConnection, socket.socket]) -> None:
    idle = Idle(2)
    idle.keep(key(1), pair[0])
    for number in (2, 3):
        idle.keep(key(number), DirectConnection("localhost"))
    assert pair[0].sock is None
    assert idle.take(key(1)) is None
    assert idle.take(key(2)) is not None


def test_a_connection_whose_call_was_ended_by_the_watchdog_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(direct, "answered", lambda: False)
    with serving(answer_all) as server:
        host = client(server.url)
        assert host.probe(G).seen
        assert host.probe(G).seen
        assert server.accepted == 2


def test_a_call_is_watched_until_its_answer_is_whole() -> None:
    call = Call(0.0, lambda: True)
    with CallInProgress(call):
        assert answered()
        call.expired = True
        assert not answered()
    assert answered()  # no call bounds it
