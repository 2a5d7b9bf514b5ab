"""Nodes that play a made-up API of things with content, in this process: PUT, GET and DELETE of JSON."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.settings import Settings
from tests.children import inherited
from tests.integration.worker.harness import ROOT, SHORT
from tests.raw_server import serving
from tests.waits import eventually
from tests.warm import Warm, run

EXAMPLES = Path(__file__).parents[3] / "examples" / "kinds"
KIND, PIN, MEMBER = ((EXAMPLES / f"{name}.yaml").read_text("utf-8") for name in ("notice", "pin", "member"))


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

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


NAMES = ("node1", "node2", "node3")
PATH = "/notices/team%2Fa"
THING = "notice/team%2Fa"


class Rig:
    """Redis, three nodes in this process, or others with a kind, a worker and beat."""

    def __init__(
        self, stack: ExitStack, directory: Path, others: Sequence[str] = (), kind: str = PIN
    ) -> None:
        self.stack, self.directory = stack, directory
        self.nodes = [] if others else [Node() for _ in NAMES]
        kinds = directory / "kinds"
        for folder in (directory / "redis", kinds):
            folder.mkdir()
        redis = stack.enter_context(RedisServer(directory / "redis"))
        for text in (KIND, kind, MEMBER):
            (kinds / f"{yaml.safe_load(text)['kind']}.yaml").write_text(text)
        urls = others or [stack.enter_context(served(node)) for node in self.nodes]
        hosts = "".join(
            f"  - {{name: {name}, url: '{url}'}}\n" for name, url in zip(NAMES, urls, strict=True)
        )
        inventory = directory / "hosts.yaml"
        other = "  - {name: other, url: 'http://127.0.0.1:1', serves: [elsewhere]}\n"
        inventory.write_text(f"kinds: kinds\nhosts:\n{hosts}{other}")
        (directory / "seal.key").write_bytes(base64.b64encode(os.urandom(32)))
        self.values = {**SHORT, "redis_url": redis.url, "inventory": str(inventory), "key_prefix": "k:"}
        self.values["seal_key_file"] = str(directory / "seal.key")
        self.env = {
            **inherited(),
            "PYTHONPATH": str(ROOT),
            **{f"LOCKSTEP_{key.upper()}": value for key, value in self.values.items()},
        }
        self.guard = Guard()
        stack.callback(self.guard.close)
        self.worker = self.new_worker()
        self._child("beat")
        self.client = stack.enter_context(ClusterClient(Settings(**self.values)))

    def new_worker(self) -> Warm:
        self.worker = self._child("worker", "-Q", "operations,rollback", "-n", "w@%h", "-l", "INFO")
        eventually(lambda: " ready." in self.worker.output(), "the worker is ready")
        return self.worker

    def _child(self, *arguments: str) -> Warm:
        command = [sys.executable, "-m", "celery", "-A", "lockstep", *arguments]
        child = Warm(arguments[0], command, directory=self.directory, guard=self.guard, env=self.env, grace=5)
        self.stack.callback(child.stop)
        child.launch()
        return child

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("lockstep", *arguments, env={**os.environ, **self.env})

    def texts(self) -> list[str | None]:
        held = [node.holds.get(PATH) for node in self.nodes]
        return [None if each is None else each["text"] for each in held]
