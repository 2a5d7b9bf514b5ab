"""A node whose GETs lag behind its writes."""

from __future__ import annotations

import json
import math
import time
from http.server import BaseHTTPRequestHandler
from typing import ClassVar


class Lagging(BaseHTTPRequestHandler):
    """Takes writes in at once, and shows them LAG seconds later."""

    LAG = 0.3
    changes: ClassVar[dict[str, list[tuple[float, str | None]]]] = {}

    def do_GET(self) -> None:
        body = self.held(self.path.rstrip("/").rpartition("/")[2], time.monotonic() - self.LAG)
        self.answer(404 if body is None else 200, body or "")

    def do_POST(self) -> None:
        body, group = self.asked()
        self.answer(400 if self.held(group) else 201)
        self.changes.setdefault(group, []).append((time.monotonic(), self.held(group) or body))

    def do_DELETE(self) -> None:
        _, group = self.asked()
        self.answer(200 if self.held(group) else 404)
        self.changes.setdefault(group, []).append((time.monotonic(), None))

    def asked(self) -> tuple[str, str]:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        return body, json.loads(body)["groupId"]

    def held(self, group: str, at: float = math.inf) -> str | None:
        return next((body for time, body in reversed(self.changes.get(group, [])) if time <= at), None)

    def answer(self, status: int, body: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass
