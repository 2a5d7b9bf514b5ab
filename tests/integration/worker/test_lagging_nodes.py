"""Nodes that take a write in and show it some time later, or ask to come back then, through a real worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench
from tests.raw_server import serving
from tests.waits import eventually

SHOWS_AFTER = 2.0
"""Seconds; below the times after which a write counts as settled here."""


class Lagging(ThreadingHTTPServer):
    """Answers 202 to a POST, shows its group later, and answers 409 to another meanwhile."""

    daemon_threads = True

    def __init__(self, kind: type[Node]) -> None:
        super().__init__(("127.0.0.1", 0), kind)
        self.changes: list[tuple[float, bool]] = []
        self.accepted: float | None = None
        self.conflicts = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def holds(self) -> bool:
        return bool(self.changes) and self.changes[-1][1]


class Node(BaseHTTPRequestHandler):
    server: Lagging
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        accepted = self.server.accepted
        shown = accepted is not None and time.monotonic() - accepted >= SHOWS_AFTER
        group = self.path.rstrip("/").rpartition("/")[2]
        self.answer(200 if shown else 404, json.dumps({"groupId": group}).encode() if shown else b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.accepted is None:
            self.server.accepted = time.monotonic()
            self.answer(202)
        else:
            self.server.conflicts += 1
            self.answer(409)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(404)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Lagging]:
    with serving(Lagging(getattr(request, "param", Node))) as server:
        yield server


def take_part(bench: Bench, node: Lagging, more: str = "") -> None:
    """Put the node in the place of node3, with more said of it, and start beat and a worker."""
    path = Path(bench.settings.inventory)
    path.write_text(path.read_text().replace(bench.cluster.nodes["node3"], node.url + more))
    bench.inventory = load_inventory(bench.settings)
    bench.beat()
    bench.worker()


def test_a_create_waits_for_what_is_accepted_to_show(bench: Bench, node: Lagging) -> None:
    take_part(bench, node)
    end = bench.end(bench.start(Action.CREATE))
    assert (end.operation.state, end.operation.reason) == (State.COMMITTED, None)
    assert end.outcomes["node3"] == "applied"
    assert node.conflicts, "it was asked meanwhile"


LAG = 0.8


class Stale(Node):
    """Does at once as asked, and shows what it held a while ago."""

    def do_GET(self) -> None:
        now, shown = time.monotonic(), False
        for at, holds in self.server.changes:
            if now - at >= LAG:
                shown = holds
        group = self.path.rstrip("/").rpartition("/")[2]
        self.answer(200 if shown else 404, json.dumps({"groupId": group}).encode() if shown else b"")

    def do_POST(self) -> None:
        self.change(True, 201, 409)

    def do_DELETE(self) -> None:
        self.change(False, 200, 404)

    def change(self, wanted: bool, done: int, already: int) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.holds is wanted:
            self.answer(already)
            return
        self.server.changes.append((time.monotonic(), wanted))
        self.answer(done)


@pytest.mark.parametrize("node", [Stale], indirect=True)
def test_a_delete_after_a_create_finds_what_the_node_shows_late(bench: Bench, node: Lagging) -> None:
    take_part(bench, node, "\n    shows_after: 1s")
    created = bench.start(Action.CREATE)
    eventually(lambda: bench.read(created).state is State.COMMITTED, "it is created")
    assert node.holds
    assert not bench.read(created).ended, "its lock is kept until the node must show it"
    bench.end(created)
    deleted = bench.end(bench.start(Action.DELETE))
    assert (deleted.operation.state, deleted.outcomes["node3"]) == (State.COMMITTED, "applied")
    assert not node.holds


HOUR = 3600.0
BUSY = 3
"""Seconds for which a node asks to be left alone: three of its dates, whole seconds, lie apart."""


class Busy(Stale):
    """Has a clock that is an hour behind, and asks by it for a while of rest before the first write."""

    asked: ClassVar[list[float]] = []

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) - HOUR, usegmt=True)

    def do_POST(self) -> None:
        self.asked.append(time.monotonic())
        if len(self.asked) > 1:
            super().do_POST()
            return
        self.rfile.read(int(self.headers["Content-Length"]))
        now = time.time()
        self.send_response_only(503)
        self.send_header("Date", self.date_time_string(now))
        self.send_header("Retry-After", self.date_time_string(now + BUSY))
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("node", [Busy], indirect=True)
def test_a_date_to_come_back_at_is_kept_by_the_clock_of_who_gave_it(bench: Bench, node: Lagging) -> None:
    take_part(bench, node)
    end = bench.end(bench.start(Action.CREATE))
    assert (end.operation.state, end.operation.reason) == (State.COMMITTED, None)
    first, second = Busy.asked
    assert second - first >= BUSY
