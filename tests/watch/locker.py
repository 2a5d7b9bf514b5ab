"""An API of lockers with secrets, some of which quote what they refuse, or never answer."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KIND = """
kind: locker
fields:
  colour: {default: white}
  pin: {sensitive: true}
  password: {secret: true, kept_as: hash}
look: {request: "GET /lockers/{id}", keep: {hash: item.hash}}
create:
  request: PUT /lockers/{id}
  json:
    colour: content.colour
    pin: content.pin
    password: secret.password
    hash: if(secret.password, null, kept.hash)
  applied: 201
  replaced: 204
update: {like: create, applied: 204, replaced: 201}
delete: DELETE /lockers/{id}
"""
OLD = {"colour": "black", "pin": "canary-15-old-pin", "hash": "canary-16-old-hash"}
NAMES = ("quoting", "dropping", "raising")


class Locker(ThreadingHTTPServer):
    """Serves lockers on a port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held: dict[str, dict[str, Any]] = {name: dict(OLD) for name in NAMES}
        self.passwords: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Locker

    def handle_call(self) -> None:
        name, held = self.path.rpartition("/")[2], self.server.held
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.command == "GET":
            return self.answer(200 if name in held else 404, held.get(name))
        if name == "dropping":
            return None  # no answer at all
        if name == "quoting":
            return self.answer(400, {"error": f"no {sent} over {held[name]}, {sent[:40]} and {sent[5:60]}"})
        if self.command == "DELETE":
            return self.answer(204 if held.pop(name, None) else 404, None)
        body = json.loads(sent)
        was = held.get(name)
        if password := body.pop("password", None):
            self.server.passwords[name] = password
            body["hash"] = f"canary-17-hash of {len(password)}"
        held[name] = body
        return self.answer(204 if was else 201, None)

    def answer(self, status: int, body: object) -> None:
        text = b"" if body is None or status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_DELETE = handle_call  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
