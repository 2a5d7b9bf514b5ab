"""The time that a call may take holds while it connects: in a handshake, and with several addresses."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from lockstep.producer import looks
from lockstep.producer.stack.ports import free_port
from lockstep.worker.hosts.client import Call, Carry
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.raw_server import RawServer, serving
from tests.waits import PATIENCE

LONGEST = 2 * PATIENCE
"""Seconds that a call may take: more than it takes for a test to fail."""
PATIENT = Settings().but(connect_timeout=LONGEST, read_timeout=LONGEST)
HELLO = b"\x16\x03\x03\x40\x00" + b"\x02" * 16384
"""As much as a record of TLS may be, of which a byte comes every now and then."""
LATE = NoReply(Trouble.NOT_SENT, "connect timeout")
DEAD = ("127.0.0.2", "127.0.0.3")


def call(
    carry: Carry, url: str, seconds: float, settings: Settings = PATIENT
) -> tuple[Reply | NoReply, float]:
    """Ask a host, and say what came of it and how long that took."""
    host, began = Host(HostName("n"), url, verify=False), time.monotonic()
    ends, yes, no = began + seconds, lambda: True, lambda: False
    asked = Call("GET", "/", {}, None, host=host, settings=settings, ends=ends, may_send=yes, stopping=no)
    return carry(asked), time.monotonic() - began


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
def test_a_handshake_is_given_up_within_the_time_of_the_call(exchange: Carry, drips: bool) -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        if drips:
            server.drip(peer, HELLO)
        server.until_closed(peer)

    with serving(behave) as server:
        said, took = call(exchange, server.url.replace("http:", "https:"), 0.5)
        assert server.connected.wait(PATIENCE)
        assert server.accepted == 1
    assert said == LATE
    assert took < 5


def test_a_dripping_handshake_is_given_up_within_the_time_to_connect(exchange: Carry) -> None:
    with serving(lambda server, peer: server.drip(peer, HELLO)) as server:
        said, took = call(
            exchange, server.url.replace("http:", "https:"), LONGEST, PATIENT.but(connect_timeout=0.5)
        )
    assert said == LATE
    assert took < 5


@contextlib.contextmanager
def deaf(port: int) -> Iterator[None]:
    """Have addresses at which nobody takes a connection any more: the queue of each listener is full."""
    with contextlib.ExitStack() as stack:
        for address in DEAD:
            stack.enter_context(listener := socket.socket())
            listener.bind((address, port))
            listener.listen(0)
            for _ in range(4):
                stack.enter_context(waiting := socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a name of several addresses, of which the last is that of a host."""
    resolve = socket.getaddrinfo

    def found(name: str, port: int, family: int = 0, kind: int = 0) -> list[object]:
        names = (*DEAD, "127.0.0.1") if name == "many.example" else (name,)
        return [each for name in names for each in resolve(name, port, family, kind)]

    monkeypatch.setattr(socket, "getaddrinfo", found)


ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="loopback is one address here")


def answer(server: RawServer, peer: socket.socket) -> None:
    server.request(peer)
    peer.sendall(ABSENT)


@on_linux
@pytest.mark.usefixtures("at")
def test_an_address_that_is_silent_leaves_time_for_the_next() -> None:
    port = free_port()
    with serving(answer, port), deaf(port):
        said, _ = call(looks.exchange, f"http://many.example:{port}", 9, PATIENT.but(connect_timeout=3.0))
    assert isinstance(said, Reply)
    assert said.status == 404


@on_linux
@pytest.mark.parametrize("bound", ["call", "connect"])
def test_an_address_that_is_silent_is_given_up_in_time(exchange: Carry, bound: str) -> None:
    settings, seconds = (PATIENT, 0.5) if bound == "call" else (PATIENT.but(connect_timeout=0.5), LONGEST)
    port = free_port()
    with deaf(port):
        said, took = call(exchange, f"http://{DEAD[0]}:{port}", seconds, settings)
    assert said == LATE
    assert took < 5


@on_linux
@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("bound", ["call", "connect"])
def test_silent_addresses_together_take_no_longer_than_the_call_may(bound: str) -> None:
    settings, seconds = (PATIENT, 1.0) if bound == "call" else (PATIENT.but(connect_timeout=1.0), LONGEST)
    port = free_port()
    with deaf(port):
        said, took = call(looks.exchange, f"https://many.example:{port}", seconds, settings)
    assert isinstance(said, NoReply)
    assert said.trouble is Trouble.NOT_SENT
    assert took < 5


def test_nothing_is_sent_once_a_slow_resolver_took_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can end a look-up of a name; what it takes counts."""
    resolve = socket.getaddrinfo
    with serving(answer) as server:

        def slow(*args: object, **kinds: object) -> object:
            monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: clock() + 2)
            return resolve(*args, **kinds)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        said, _ = call(looks.exchange, server.url, LONGEST, PATIENT.but(connect_timeout=1.0))
        assert said == LATE
    assert server.received == b""
