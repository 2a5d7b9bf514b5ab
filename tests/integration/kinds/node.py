"""A node that plays a made-up API of things with content, in this process: PUT, GET and DELETE of JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[3] / "examples" / "kinds"
KIND, PIN = ((EXAMPLES / f"{name}.yaml").read_text("utf-8") for name in ("notice", "pin"))


class Node:
    """What it holds by path; what it was asked; and how it treats writes."""

    def __init__(self) -> None:
        self.holds: dict[str, Any] = {}
        self.asked: list[str] = []
        self.refuses = False
        self.usurper: Any = None
        """What a third hand writes right after our next write."""

    def plant(self, path: str, text: str, owner: str = "x") -> None:
        self.holds[path] = {"text": text, "tags": [], "owner": owner}


@contextmanager
def served(node: Node) -> Iterator[str]:
    """Serve it; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            held = node.holds.get(self.path)
            self.answer(404 if held is None else 200, held)

        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
            if node.refuses:
                self.answer(403)
                return
            new = self.path not in node.holds
            node.holds[self.path] = body
            if node.usurper is not None:
                node.holds[self.path], node.usurper = node.usurper, None
            self.answer(201 if new else 204)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            node.holds[f"{self.path}{body['groupId']}/"] = body
            self.answer(201, body)

        def do_DELETE(self) -> None:
            if node.refuses:
                self.answer(403)
                return
            self.answer(204 if node.holds.pop(self.path, None) is not None else 404)

        def answer(self, status: int, body: Any = None) -> None:
            node.asked.append(f"{self.command} {self.path} {status}")
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if status != 204 else b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
