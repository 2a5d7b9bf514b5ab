"""Hosts that say what a test tells them to, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

HERE = (200, json.dumps({"groupId": "team-a"}))
GONE = (404, "")
ERROR = (500, "")


class Node:
    """A host that gives the answers of a list, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str] | bytes] = []
        """Each a status and a body, or the very bytes that are sent, with the end of the connection."""
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None
        """What is done, or waited for, before each answer."""
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                node.asked.append(self.path)
                node.before()
                answer = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                    self.close_connection = True
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.name = "127.0.0.1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Node:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
