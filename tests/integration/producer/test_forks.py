"""A client that is used before a fork and after it: in the parent, and in threads of several children."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FunctionType, ModuleType
from typing import Any

import pytest

from lockstep import ClusterClient, State, WaitTimeout
from lockstep.worker.operation.model import Presence
from lockstep.worker.settings import load_settings
from tests.children import Forked
from tests.contract.producer.hand import Hand
from tests.raw_server import serving
from tests.waits import PATIENCE, eventually

CHILDREN, THREADS = 4, 4
LOCKS = (type(threading.Lock()), type(threading.RLock()))


class Keeping(ThreadingHTTPServer):
    """A node that keeps connections; it holds every group whose id begins with `here`."""

    daemon_threads = True

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                group = self.path.split("/")[3]
                body = f'{{"groupId": "{group}"}}'.encode() if group.startswith("here") else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: Any) -> None:
        """A child that has ended hangs up."""


@pytest.fixture
def node(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The node's name in the inventory."""
    with serving(Keeping()) as server:
        monkeypatch.setenv("LOCKSTEP_HOSTS", f"http://127.0.0.1:{server.server_port}")
        yield "127.0.0.1"


@pytest.fixture
def used(node: str, environment: dict[str, str]) -> Iterator[ClusterClient]:
    """A client that has done everything once, so that it holds all that there is to share."""
    with ClusterClient(load_settings()) as cluster:
        use(cluster, node, "before")
        yield cluster


def use(cluster: ClusterClient, node: str, name: str) -> int:
    """Ask and enqueue what the name makes its own; return how many messages were sent."""
    for turn in range(3):
        assert cluster.group_exists(node, f"here-{name}-{turn}")
        assert not cluster.group_exists(node, f"gone-{name}-{turn}")
        assert len(cluster.plan("create", f"here-{name}").hosts) == 1
        told = cluster.drift([f"here-{name}-{turn}", f"gone-{name}-{turn}"])
        held = [{node: Presence.PRESENT}, {node: Presence.ABSENT}]
        assert [each.unmeasured for each in told] == held
    operation = cluster.create_group(f"group-{name}", operation_id=name)
    assert operation.published
    assert cluster.operation(name).status().state is State.APPLYING
    with suppress(WaitTimeout):
        operation.wait(0.2)
    assert [step.host for step in operation.steps()] == [node]
    return 1


def use_in_threads(cluster: ClusterClient, node: str, name: str) -> int:
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda n: use(cluster, node, f"{name}-{n}"), range(THREADS)))


def test_processes_and_their_threads_may_go_on_with_one_client(
    used: ClusterClient, node: str, hand: Hand
) -> None:
    children = [Forked(lambda n=n: use_in_threads(used, node, f"child{n}")) for n in range(CHILDREN)]  # type: ignore[misc]
    sent = 1 + use_in_threads(used, node, "parent")
    sent += sum(child.result() for child in children)
    assert sent == 1 + (1 + CHILDREN) * THREADS
    assert hand.redis.llen(f"{hand.settings.key_prefix}celery:operations") == sent
    assert len(used.operations(1000)) == sent


def test_a_child_may_be_forked_while_other_threads_use_the_client(used: ClusterClient, node: str) -> None:
    over = threading.Event()

    def work(number: int) -> int:
        turn = 0
        while not over.is_set():
            turn += 1
            use(used, node, f"parent{number}-{turn}")
        return turn

    with ThreadPoolExecutor(THREADS) as pool:
        working = [pool.submit(work, number) for number in range(THREADS)]
        try:
            for five in ("01234", "56789"):
                children = [Forked(lambda n=n: use_in_threads(used, node, f"child{n}")) for n in five]  # type: ignore[misc]
                assert [each.result() for each in children] == 5 * [THREADS]
        finally:
            over.set()
        assert all(each.result() for each in working)


def test_multiprocessing_may_fork_too(used: ClusterClient, node: str) -> None:
    names = [(used, node, f"child{n}") for n in range(CHILDREN)]
    with multiprocessing.get_context("fork").Pool(CHILDREN, initializer=_take, initargs=(used,)) as pool:
        sent = pool.starmap_async(_use_taken, [each[1:] for each in names]).get(PATIENCE)
    assert sum(sent) == CHILDREN * THREADS


_taken: list[ClusterClient] = []


def _take(cluster: ClusterClient) -> None:
    _taken.append(cluster)


def _use_taken(node: str, name: str) -> int:
    return use_in_threads(_taken[0], node, name)


def test_no_lock_of_a_client_stays_held_in_a_child(used: ClusterClient, node: str) -> None:
    """Every lock that can be reached from a client, or from a module of ours, is held while it forks."""
    with ThreadPoolExecutor(1) as another:
        held = another.submit(
            lambda: [lock for lock in locks_of(used) if lock.acquire(blocking=False)]
        ).result()
        assert len(held) > 20
        child = Forked(lambda: use_in_threads(used, node, "child"))
        another.submit(lambda: [lock.release() for lock in held]).result()
    assert child.result() == THREADS
    assert use(used, node, "parent") == 1


def locks_of(cluster: ClusterClient) -> list[Any]:
    """Find the locks by walking along references."""
    ours = [module for name, module in sys.modules.items() if name.startswith("lockstep.")]
    to_see: list[object] = [cluster]
    to_see += [
        value
        for module in ours
        for value in vars(module).values()
        if type(value).__module__.startswith("lockstep.worker.") or isinstance(value, LOCKS)
    ]
    seen: dict[int, object] = {}  # kept, for another object may have the id of one that is gone
    found: list[Any] = []
    while to_see:
        each = to_see.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType, FunctionType, threading.Thread)):
            continue
        seen[id(each)] = each
        if isinstance(each, LOCKS):
            found.append(each)
        elif not type(each).__module__.startswith(("logging", "pytest", "_pytest", "tests")):
            to_see += gc.get_referents(each)
    return found


FIRST_USE = f"""
import faulthandler, os, threading
from lockstep import ClusterClient
cluster = ClusterClient()
first = threading.Thread(target=cluster.create_group, args=("parent",))
first.start()
pids = []
for n in range(12):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later({PATIENCE}, exit=True)
        published = cluster.create_group(f"child{{n}}").published
        os._exit(0 if published else 1)
    pids.append(pid)
    first.join(0.1)
first.join()
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""


def test_a_child_may_be_forked_during_the_very_first_call(environment: dict[str, str]) -> None:
    """Celery is imported in it, and its application is built."""
    ran = subprocess.run(
        # Newer Pythons warn of a fork in a process with threads, which is what this is about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FIRST_USE],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (f"{[0] * 12}\n", "")


def test_a_child_may_go_on_with_a_wait_of_its_parent(used: ClusterClient, hand: Hand) -> None:
    operation = used.create_group("team-a")
    changes = iter(operation.watch())
    assert next(changes).state is State.APPLYING
    eventually(lambda: hand.subscribers(operation.id) == 1, "the parent has subscribed")
    child = Forked(lambda: [status.state for status in changes][-1])
    eventually(lambda: hand.subscribers(operation.id) == 2, "the child has subscribed by itself")
    hand.roll_back(operation)
    assert child.result() is State.ROLLED_BACK
    assert [status.state for status in changes][-1] is State.ROLLED_BACK
