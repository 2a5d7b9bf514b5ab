"""Hosts that speak HTTP/2: they are asked in it, and a request leaves once, whatever HTTP/2 would allow."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedRWPair
from pathlib import Path

import pytest

from lockstep.worker.hosts import curl, looks
from lockstep.worker.hosts.client import Carry, HostClient
from lockstep.worker.operation.answer import Probed
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, HostName
from lockstep.worker.settings import Settings
from tests.integration.redis_servers.certificates import Authority
from tests.unit.answering import tell
from tests.unit.client import G

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trusted") / "authority")


@dataclass
class Frames:
    """A host that speaks HTTP/2 by hand (RFC 9113): its settings, and a frame for each request.

    Frames are written as a header of nine bytes and what follows; the stream is put into the header.
    """

    listener: socket.socket
    context: ssl.SSLContext
    authority: Path
    frames: Sequence[tuple[bytes, bytes]]
    """For each request: what it is answered with."""
    spoken: list[str | None] = field(default_factory=list)
    """What each connection speaks."""
    asked: int = 0
    """Requests that came over HTTP/2."""
    then: Callable[[ssl.SSLSocket], None] = lambda _: None
    """Done to the connection after each answer."""

    def called(self, carry: Carry) -> HostClient:
        url = f"https://localhost:{self.listener.getsockname()[1]}"
        return HostClient(Host(HostName("n"), url, verify=str(self.authority)), Settings(), carry)

    def serve(self) -> None:
        """Take connections, one after the other, until nobody listens any more."""
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with (
                    contextlib.suppress(ConnectionError, ssl.SSLError),
                    self.context.wrap_socket(peer, server_side=True) as secured,
                    secured.makefile("rwb") as stream,
                ):
                    self._talk(secured, stream)

    def _talk(self, secured: ssl.SSLSocket, stream: BufferedRWPair) -> None:
        speaks = secured.selected_alpn_protocol()
        self.spoken.append(speaks)
        if speaks != "h2":
            while stream.readline().strip():  # what is not read by the end would reset the connection
                pass
            stream.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        stream.read(24)
        stream.write(b"\0\0\0\4\0\0\0\0\0")
        stream.flush()
        while head := stream.read(9):
            stream.read(int.from_bytes(head[:3]))
            if head[3] == HEADERS:
                about, rest = self.frames[min(self.asked, len(self.frames) - 1)]
                self.asked += 1
                stream.write(about + (bytes(4) if about[3] == GOAWAY else head[5:]) + rest)
                stream.flush()
                self.then(secured)


HEADERS, GOAWAY = 1, 7
NOT_FOUND = b"\0\0\1\1\5", b"\x8d"
"""HEADERS, with which all is said: entry 13 of the static table, :status 404."""
REFUSED = b"\0\0\4\3\0", b"\0\0\0\7"
"""RST_STREAM: REFUSED_STREAM, which says that the request was not looked at."""
GONE = b"\0\0\x08\7\0", bytes(8)
"""GOAWAY: no request was looked at, and nothing is wrong."""
PING = b"\0\0\x08\6\0\0\0\0\0" + bytes(8)


@contextmanager
def speaking(authority: Authority, *frames: tuple[bytes, bytes]) -> Iterator[Frames]:
    """Serve a host that speaks HTTP/2, and HTTP/1.1 with who does not."""
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Frames(listener, context, authority.file, frames)
        threading.Thread(target=served.serve, daemon=True).start()
        try:
            yield served
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("carry", "speaks", "times"),
    [(curl.Loop().carry, "h2", 2), (looks.exchange, "http/1.1", 1)],
    ids=["libcurl", "requests"],
)
def test_it_is_spoken_where_the_host_offers_it(
    authority: Authority, carry: Carry, speaks: str, times: int
) -> None:
    with speaking(authority, NOT_FOUND) as server:
        host = server.called(carry)
        assert [host.probe(G).probed for _ in range(times)] == [Probed.SEEN] * times
        assert server.spoken == [speaks]


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("turned_away", [REFUSED, GONE], ids=["REFUSED_STREAM", "GOAWAY"])
def test_a_write_that_may_be_sent_again_is_sent_once(
    authority: Authority, turned_away: tuple[bytes, bytes], kept: bool
) -> None:
    """libcurl would send it again by itself, as RFC 9113 (8.7) has it; the record would not know of that."""
    with speaking(authority, *([NOT_FOUND] if kept else []), turned_away) as server:
        host = server.called(curl.Loop().carry)
        if kept:
            assert host.probe(G).probed is Probed.SEEN
        said = host.write(Action.CREATE, G, AttemptId("a1"), host.clock.elapsed() + 10)
        assert (said.effect, server.asked) == (Effect.UNKNOWN, 1 + kept), said


def test_a_connection_is_kept_though_something_came_that_belongs_to_no_request(authority: Authority) -> None:
    go, gone = threading.Event(), threading.Event()

    def ping(connection: ssl.SSLSocket) -> None:
        if server.asked == 1:
            assert go.wait(10)
            tell(connection, PING)
            gone.set()

    with speaking(authority, NOT_FOUND) as server:
        server.then, host = ping, server.called(curl.Loop().carry)
        assert host.probe(G).probed is Probed.SEEN
        go.set()
        assert gone.wait(10)
        assert host.probe(G).probed is Probed.SEEN
        assert server.spoken == ["h2"]
