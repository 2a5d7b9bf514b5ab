"""What stands before a real server, and refuses writes, or holds them up, when it is told to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.raw_server import serving
from tests.waits import PATIENCE

LOOKS = ("/v3/kv/range",)
"""Paths that a POST only reads."""


class Gate:
    """How writes are treated."""

    def __init__(self) -> None:
        self.url = ""
        self.refuses = False
        self.open = threading.Event()
        self.open.set()
        self.holds = threading.Event()
        """A write waits."""


@contextmanager
def before(port: int) -> Iterator[Gate]:
    """Carry each request to the server on this port of loopback, byte for byte in its path."""
    gate = Gate()

    class Handler(BaseHTTPRequestHandler):
        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.command != "GET" and self.path not in LOOKS:
                if gate.refuses:
                    self.answer(403, b"{}", "application/json")
                    return
                if not gate.open.is_set():
                    gate.holds.set()
                    gate.open.wait(PATIENCE)
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    there.putheader(name, value)
            there.endheaders(body)
            said = there.getresponse()
            content = said.read()
            there.close()
            self.answer(said.status, content, said.getheader("Content-Type", ""))

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_call  # noqa: N815 - what its base calls

        def answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.daemon_threads = True
    gate.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        try:
            yield gate
        finally:
            gate.open.set()
