"""A server on loopback with the face of `responses.RequestsMock`, for what that cannot stand in for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.raw_server import serving

TIMEOUT = 10.0


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    body: bytes
    headers: Message


@dataclass(frozen=True)
class ReceivedCall:
    """As responses wraps it."""

    request: Received


@dataclass
class StubWeb:
    """Answers each method as it was told to; `calls` is what came in."""

    calls: list[ReceivedCall] = field(default_factory=list)
    port: int = 0
    _answers: dict[tuple[str, str], tuple[int, bytes, Mapping[str, str]]] = field(default_factory=dict)

    def add(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        body: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer requests of this method for this URL's path."""
        self._answers[method, urlsplit(url).path] = (status, body.encode(), headers or {})

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        length = int(handler.headers.get("Content-Length", 0))
        self.calls.append(ReceivedCall(Received(handler.rfile.read(length), handler.headers)))
        status, body, headers = self._answers[handler.command, handler.path]
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value.encode().decode("latin-1"))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def serving_stub() -> Iterator[StubWeb]:
    """Serve until the end of the block."""
    web = StubWeb()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.answer(self)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that has heard enough hangs up."""

    with serving(Server(("127.0.0.1", 0), Handler)) as server:
        web.port = server.server_port
        yield web
