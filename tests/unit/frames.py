"""A host that speaks HTTP/2 by hand (RFC 9113), and HTTP/1.1 with who does not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedRWPair

DATA, HEADERS, END_STREAM = 0, 1, 1
STREAM = b"\xff\xff\xff\xff"
"""In a frame: stands for the stream of the request that it answers."""


def frame(kind: int, flags: int, content: bytes, stream: bytes = STREAM) -> bytes:
    """Return a frame: a header of nine bytes, and what follows."""
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream + content


NOT_FOUND = frame(HEADERS, 5, b"\x8d")
"""With which all is said: entry 13 of the static table, :status 404."""
OK = frame(HEADERS, 4, b"\x88")
"""After which DATA comes: :status 200."""
REFUSED = frame(3, 0, b"\0\0\0\7")
"""RST_STREAM: REFUSED_STREAM, which says that the request was not looked at."""
GONE = frame(7, 0, bytes(8), bytes(4))
"""GOAWAY: no request was looked at, and nothing is wrong."""
PING = frame(6, 0, bytes(8), bytes(4))


@dataclass
class Frames:
    """Takes connections, one after the other, and answers each request with what is next."""

    listener: socket.socket
    context: ssl.SSLContext
    answers: Sequence[bytes]
    """For each request over HTTP/2, one after the other; the last is said again."""
    spoken: list[str | None] = field(default_factory=list)
    """What each connection speaks."""
    asked: int = 0
    then: Callable[[ssl.SSLSocket], None] = lambda _: None
    """Done to the connection after each answer."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        """Take connections until the listener is shut down, and close it."""
        with self.listener, contextlib.suppress(OSError):
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
            self._refuse(stream)
            return
        stream.read(24)
        stream.write(frame(4, 0, b"", bytes(4)))
        stream.flush()
        while head := stream.read(9):
            stream.read(int.from_bytes(head[:3]))
            if head[3] in (DATA, HEADERS) and head[4] & END_STREAM:
                said = self.answers[min(self.asked, len(self.answers) - 1)]
                self.asked += 1
                stream.write(said.replace(STREAM, head[5:]))
                stream.flush()
                self.then(secured)

    def _refuse(self, stream: BufferedRWPair) -> None:
        """Read all of a request over HTTP/1.1: what is not read by the end would reset the connection."""
        length = 0
        while line := stream.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        stream.read(length)
        self.asked += 1
        stream.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def speaking(context: ssl.SSLContext, *answers: bytes) -> Iterator[Frames]:
    """Serve until the end of the block."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0))
    served = Frames(listener, context, answers)
    threading.Thread(target=served.serve, daemon=True).start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
