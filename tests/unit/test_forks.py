"""What a forked child makes anew: connections, what carries calls, locks; and what a fork waits for."""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tests.unit.client
from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Detail
from lockstep.worker.inventory import LiveInventory
from lockstep.worker.operation.answer import Trouble
from lockstep.worker.operation.model import HostName
from lockstep.worker.process import forks, secrets
from lockstep.worker.process.forks import renew_in_children
from lockstep.worker.settings import Settings
from tests.children import Forked, in_child
from tests.raw_server import serving
from tests.unit import raw_server
from tests.unit.client import G, client
from tests.waits import PATIENCE, eventually


class Slow(ThreadingHTTPServer):
    """A node that knows no group, keeps connections, and holds back answers as long as a test likes."""

    daemon_threads = True

    def __init__(self) -> None:
        self.accepted = 0
        self.asked = 0
        self.go = threading.Event()
        self.go.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.accepted += 1
                super().setup()

            def do_GET(self) -> None:
                server.asked += 1
                server.go.wait(30)
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A client that has heard enough hangs up."""


@pytest.fixture
def node() -> Iterator[Slow]:
    with serving(Slow()) as server:
        yield server


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_child_has_connections_of_its_own(node: Slow) -> None:
    host = client(node.url)
    assert host.look_at_group(G).seen
    for child in range(1, 3):
        assert in_child(lambda: host.look_at_group(G).seen is not None)
        assert node.accepted == 1 + child
    assert host.look_at_group(G).seen
    assert node.accepted == 3


def test_a_child_leaves_the_calls_of_its_parent_alone(node: Slow, thread: ThreadPoolExecutor) -> None:
    host = client(node.url, call_timeout=3, connect_timeout=3, read_timeout=3)
    node.go.clear()
    call = thread.submit(host.look_at_group, G)
    eventually(lambda: node.asked == 1, "the parent's call is under way")

    def call_until_its_time_is_over() -> bool:
        ours = client(node.url)
        node_is_there = ours.look_at_group(G).seen is not None
        threading.Event().wait(3.5)  # beyond the end of the parent's call
        return node_is_there

    child = Forked(call_until_its_time_is_over)
    node.go.set()
    assert call.result().seen
    assert child.result()
    assert thread.submit(host.look_at_group, G).result().seen
    assert node.accepted == 2, "the parent's connection was shut down"


def test_a_childs_first_look_ends_in_time_and_leaves_a_look_of_its_parent_alone(
    node: Slow, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer ends each look that somebody asks for; a node that goes on talking meets no other time-out."""
    monkeypatch.setattr(tests.unit.client, "carry", looks.exchange)
    node.go.clear()
    look = thread.submit(client(node.url).look_at_group, G)
    eventually(lambda: node.asked == 1, "the parent's look is under way")
    with raw_server.serving(talk_for_ever) as talking:
        host = client(talking.url, call_timeout=1.5, connect_timeout=1, read_timeout=1.5)
        assert in_child(lambda: host.look_at_group(G).text) == f"{Trouble.LOST}: {Detail.OVERLONG}"
    node.go.set()
    assert look.result().seen, "its connection was shut down"


def talk_for_ever(server: raw_server.RawServer, peer: socket.socket) -> None:
    server.request(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    server.drip(peer, b"More: to come\r\n")


@contextmanager
def held(thread: ThreadPoolExecutor, lock: threading.Lock) -> Iterator[None]:
    """Have another thread hold a lock."""
    thread.submit(lock.acquire).result()
    try:
        yield
    finally:
        thread.submit(lock.release).result()


def test_a_child_calls_though_the_loop_was_locked(node: Slow, thread: ThreadPoolExecutor) -> None:
    host = client(node.url)
    assert host.look_at_group(G).seen
    loop: Any = curl.exchange.__self__  # type: ignore[attr-defined]
    with held(thread, loop._making):
        assert in_child(lambda: host.look_at_group(G).seen is not None)


def test_a_child_learns_secrets_though_a_thread_was_learning_one(thread: ThreadPoolExecutor) -> None:
    def learnt() -> str:
        secrets.know("canary-of-a-child")
        return secrets.mask("it is canary-of-a-child")

    with held(thread, secrets._known._lock):
        assert in_child(learnt) == "it is …"


def test_a_child_reads_an_inventory_anew_that_another_thread_was_looking_at(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("hosts: [{name: node1, url: 'http://node1'}]")
    live = LiveInventory(Settings(inventory=str(file)))
    assert live._looking.acquire(blocking=False)  # as another thread would

    def find() -> bool:
        file.write_text("hosts: [{name: node2, url: 'http://node2'}]")
        eventually(lambda: live.find(HostName("node2")), "the child's inventory is the file's")
        return True

    assert in_child(find)


def test_what_is_gone_is_not_made_anew() -> None:
    class Mine:
        def __init__(self) -> None:
            self.anew = 0
            renew_in_children(self)

        def start_anew(self) -> None:
            self.anew += 1

    # What earlier tests left there may go at any moment: only what is made here counts.
    def registered() -> list[Mine]:
        return [each for each in forks._shared.values() if isinstance(each, Mine)]

    kept, gone = Mine(), Mine()
    assert {id(each) for each in registered()} == {id(kept), id(gone)}
    del gone
    gc.collect()
    assert registered() == [kept]
    assert in_child(lambda: kept.anew) == 1
    assert in_child(lambda: in_child(lambda: kept.anew)) == 2
    assert kept.anew == 0


def test_one_reset_that_fails_keeps_no_other_from_happening() -> None:
    class Mine:
        def __init__(self, fails: bool) -> None:
            self.anew, self.fails = 0, fails
            renew_in_children(self)

        def start_anew(self) -> None:
            self.anew += 1
            if self.fails:
                raise ValueError("no")

    first, second = Mine(fails=True), Mine(fails=False)
    assert in_child(lambda: (first.anew, second.anew)) == (1, 1)


@pytest.fixture
def go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thread: ThreadPoolExecutor
) -> Iterator[threading.Event]:
    """Another thread is half way through the import of `late`, until this is set."""
    (tmp_path / "late.py").write_text(
        "import sys\nsys.importing.set()\nsys.import_on.wait()\nwhole = True\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importing, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(sys, "importing", importing, raising=False)
    monkeypatch.setattr(sys, "import_on", go_on, raising=False)
    imported = thread.submit(importlib.import_module, "late")
    importing.wait()
    try:
        yield go_on
    finally:
        go_on.set()
        imported.result()
        sys.modules.pop("late", None)


def test_a_fork_waits_for_imports(go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child would wait for ever for a module that another thread of its parent was importing."""
    monkeypatch.setattr(forks, "STANDS", PATIENCE)
    threading.Timer(0.3, go_on.set).start()
    assert in_child(lambda: importlib.import_module("late").whole)


def test_a_fork_does_not_wait_for_an_import_that_stands_still(
    go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may be run by an import, or the import wait for the fork."""
    monkeypatch.setattr(forks, "STANDS", 0.1)
    assert in_child(os.getppid) == os.getpid()
    assert not go_on.is_set()


def test_a_child_imports_anew_what_another_thread_of_its_parent_had_half_imported(
    go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when that import begins between the last look before the fork and the fork."""
    monkeypatch.setattr(forks, "STANDS", 0.1)

    def import_it() -> bool:
        go_on.set()
        return bool(importlib.import_module("late").whole)

    assert in_child(import_it)


def test_a_fork_within_an_import_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forking.py").write_text(
        "import os\npid = os.fork()\nif pid == 0:\n    os._exit(7)\nstatus = os.waitpid(pid, 0)[1]\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(forks, "STANDS", 600.0)
    status: int = importlib.import_module("forking").status
    assert os.waitstatus_to_exitcode(status) == 7
    sys.modules.pop("forking", None)
