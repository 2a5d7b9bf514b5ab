"""A host over TLS, or in plain text, that notes how it is asked."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tests.raw_server import serving


class Node(BaseHTTPRequestHandler):
    """Holds nothing, and takes every group."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.note(self.headers["Host"], self.connection)  # type: ignore[attr-defined]
        self._answer(404)
        if (then := self.server.then) is not None:  # type: ignore[attr-defined]
            then(self.connection)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if self.server.closes:  # type: ignore[attr-defined]
            self.send_header("Connection", "close")
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Counts the connections that were accepted."""

    daemon_threads = True
    accepted = 0
    closes = False
    """Whether each connection is closed after one answer."""
    then: Callable[[socket.socket], None] | None = None
    """Done to the connection after the answer to each GET."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heads: list[str] = []
        """The field Host of each request."""
        self.shown: list[str] = []
        """The name in the certificate that came with each request, where one did."""

    def note(self, host: str, connection: Any) -> None:
        """Note what a request came with."""
        self.heads.append(host)
        if isinstance(connection, ssl.SSLSocket) and (shown := cast(Any, connection.getpeercert())):
            self.shown.append(dict(pair for (pair,) in shown["subject"])["commonName"])

    def process_request(self, *args: Any) -> None:
        self.accepted += 1
        super().process_request(*args)

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate hangs up."""


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve until the end of the block; without a context in plain text."""
    running = Server(("127.0.0.1", 0), Node)
    if context is not None:
        running.socket = context.wrap_socket(running.socket, server_side=True)
    with serving(running):
        yield running
