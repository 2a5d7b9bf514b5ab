"""A server on loopback that answers as the first part of a request's path says, and counts requests."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import socketserver
import ssl
import struct
import termios
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from tests.raw_server import serving
from tests.waits import PATIENCE, eventually

Do = Callable[[socket.socket], object]
Say = bytes | Do
"""What is sent before the connection is closed, or done to it; OK! in it is the success of the verb."""
SUCCESS = {b"GET": b"200 OK", b"DELETE": b"200 OK"}
TIMEOUT = 2 * PATIENCE
"""Seconds for which the other side may do nothing: more than it takes for a test to fail."""


class Answering(socketserver.ThreadingTCPServer):
    """Answers on each connection as long as it is left open; `asked` counts requests by their row."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, rows: Mapping[str, Say], address: str) -> None:
        self.rows, self.asked, self.connections = rows, Counter[str](), 0
        self.head = b""
        """Of the last request."""
        self.kept = False
        """Whether the last request came over a connection that had brought another."""
        self.closed = Counter[str]()
        """Connections that are closed, by the row that was asked for last over each."""
        self._row_of: dict[object, str] = {}
        if ":" in address:
            self.address_family = socket.AF_INET6
        super().__init__((address, 0), _Connection)
        shown = f"[{address}]" if ":" in address else address
        self.url = f"http://{shown}:{self.server_address[1]}"

    def shutdown_request(self, request: object) -> None:
        row = self._row_of.pop(request, "")
        super().shutdown_request(request)  # type: ignore[arg-type]
        self.closed[row] += 1

    def note(self, request: object, row: str) -> None:
        """Count a request for a row, and keep in mind which connection it came over."""
        self._row_of[request] = row
        self.asked[row] += 1

    def handle_error(self, *_: object) -> None:
        """A client that has heard enough hangs up."""


class _Connection(socketserver.BaseRequestHandler):
    server: Answering
    request: socket.socket

    def handle(self) -> None:
        self.server.connections += 1
        self.requests = 0
        self.request.settimeout(TIMEOUT)
        with contextlib.suppress(OSError):
            while asked := self.read():
                verb, path, *_ = asked.split(b" ", 2)
                row = path.decode().split("/")[1]
                self.server.note(self.request, row)
                self.requests, self.server.head = self.requests + 1, asked
                self.server.kept = self.requests > 1
                say = self.server.rows[row]
                if callable(say):
                    if not say(self.request):
                        return
                    continue
                keeps, said = say.startswith(KEEP), say.removeprefix(KEEP)
                self.request.sendall(said.replace(b"OK!", SUCCESS.get(verb, b"201 Created")))
                if not keeps:
                    return

    def read(self) -> bytes:
        """Read one request, body and all."""
        got = b""
        while b"\r\n\r\n" not in got and (chunk := self.request.recv(65536)):
            got += chunk
        head, _, body = got.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        while lengths and len(body) < int(lengths[0]) and (chunk := self.request.recv(65536)):
            body += chunk
        return head


KEEP = b"KEEP "
"""Before what is said, and the connection left open after it."""


def reset(peer: socket.socket) -> None:
    """Close the connection with a reset instead of an orderly end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def tell(peer: socket.socket, said: bytes) -> None:
    """Send something, and wait until it is there, read or not."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.sendall(said)
    eventually(lambda: fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)) == bytes(4), "it was received")


def together(number: int, said: bytes) -> Do:
    """Answer once so many have asked, and keep the connections."""
    barrier = threading.Barrier(number)

    def answer(peer: socket.socket) -> bool:
        barrier.wait(TIMEOUT)
        peer.sendall(said)
        return True

    return answer


def after(said: bytes, then: Do) -> Do:
    """Say something, then do something."""

    def both(peer: socket.socket) -> None:
        peer.sendall(said)
        then(peer)

    return both


def until_closed(peer: socket.socket) -> None:
    """Say nothing until the other side closes."""
    while peer.recv(65536):
        pass


def endless(text: bytes) -> Do:
    """Send the text until the other side closes."""

    def send(peer: socket.socket) -> None:
        while True:
            peer.sendall(text)

    return send


def dripping(text: bytes) -> Do:
    """Send the text, a byte every few milliseconds, until the other side closes."""

    def send(peer: socket.socket) -> None:
        while True:
            for byte in text:
                peer.sendall(bytes([byte]))
                threading.Event().wait(0.02)

    return send


def unwrap(peer: socket.socket) -> None:
    """Say that TLS ends, which tells an orderly end from a connection that was cut off."""
    cast(ssl.SSLSocket, peer).unwrap()


@contextlib.contextmanager
def answering(
    rows: Mapping[str, Say], address: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> Iterator[Answering]:
    """Serve until the end of the block, over TLS if there is a context for it."""
    answers = Answering(rows, address)
    if context is not None:
        answers.socket = context.wrap_socket(answers.socket, server_side=True)
    with serving(answers) as server:
        yield server
