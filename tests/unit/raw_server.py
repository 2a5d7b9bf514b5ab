"""A server on loopback that does to one connection after another exactly what a test says."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from lockstep.producer.stack.ports import free_port
from tests.waits import PATIENCE

Behaviour = Callable[[socket.socket], None]
TIMEOUT = 2 * PATIENCE
"""Seconds for which the other side may do nothing: more than it takes for a test to fail."""


class RawServer:
    """Accepts connections and hands each to the behaviour; `received` is what came in on all of them."""

    def __init__(self, behave: Behaviour, port: int = 0) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(TIMEOUT)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = bytearray()
        self.accepted = 0
        self.connected = threading.Event()
        self.closing = threading.Event()
        self.closed = threading.Event()
        """Set once a connection has been seen to its end."""
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while not self.closing.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            if self.closing.is_set():
                peer.close()
                return
            self.accepted += 1
            self.connected.set()
            peer.settimeout(TIMEOUT)
            self._peer = peer
            with contextlib.suppress(OSError), peer:
                self._behave(peer)
            self.closed.set()

    def request(self, peer: socket.socket) -> bytes:
        """Read one request, body and all."""
        got = bytearray()
        while b"\r\n\r\n" not in got and (chunk := peer.recv(65536)):
            got += chunk
        head, _, body = bytes(got).partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0
        )
        while len(body) < length and (chunk := peer.recv(65536)):
            got += chunk
            body += chunk
        self.received += got
        return bytes(got)

    def until_closed(self, peer: socket.socket) -> None:
        """Read, and answer nothing, until the other side closes."""
        while chunk := peer.recv(65536):
            self.received += chunk

    def drip(self, peer: socket.socket, text: bytes, every: float = 0.02) -> None:
        """Send the text again and again, a byte at a time, until the other side closes."""
        while not self.closing.wait(every):
            for byte in text:
                peer.sendall(bytes([byte]))
                if self.closing.wait(every):
                    return

    def close(self) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
            if self._peer is not None:  # a connection that the other side keeps
                self._peer.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._listener.close()

    def start(self) -> None:
        self._thread.start()


@contextlib.contextmanager
def serving(behaviour: Callable[[RawServer, socket.socket], None], port: int = 0) -> Iterator[RawServer]:
    """Serve until the end of the block."""
    server = RawServer(lambda peer: behaviour(server, peer), port)
    server.start()
    try:
        yield server
    finally:
        server.close()


def reset(peer: socket.socket) -> None:
    """Close the connection with a reset instead of an orderly end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def refusing_port() -> int:
    """A port on which nobody listens."""
    return free_port()
