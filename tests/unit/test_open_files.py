"""How many descriptors a worker may need: what its calls hold open, and what it does about its limit."""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.errors import StoreFull, StoreUnavailable
from lockstep.worker.operation.model import Millis
from lockstep.worker.settings import Settings
from lockstep.worker.tasks import provide_files, sweep
from lockstep.worker.tasks.runtime import Runtime
from tests.contract.bench import LIMITS
from tests.raw_server import serving
from tests.twin.store import MemoryStore
from tests.unit.test_forks import Slow
from tests.waits import PATIENCE

HOSTS, THREADS, LIMIT = 10, 10, 70
CALLS = f"""
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from tests.unit.client import G, client
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
each, turn = Barrier({THREADS}), Lock()
def work(_):
    each.wait()
    with turn:  # calls at the same time have a connection each
        return [client(url).look_at_group(G).text for url in sys.argv[1:]]
with ThreadPoolExecutor({THREADS}) as pool:
    print(sorted({{text for texts in pool.map(work, range({THREADS})) for text in texts}}))
"""


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(Slow())).url for _ in range(HOSTS)]


def test_many_threads_call_many_hosts_with_few_descriptors(urls: list[str]) -> None:
    """A connection of each thread to each host would be 100."""
    command = [sys.executable, "-c", CALLS, *urls]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ran.stdout, ran.stderr) == ("['404']\n", "")


PATROL = """
import resource, sys
from dataclasses import replace
from lockstep.worker.operation.drift import End
from lockstep.worker.operation.model import HostName, Millis, OperationId, Presence
from lockstep.worker.steps.looks import patrol
from lockstep.worker.tasks.tasks import _told, beat_of
from tests.contract.bench import MemoryBench, context
from tests.unit.client import G, client
port, settings = sys.argv[1], client().settings
hosts = {HostName(f"node{n}"): client(f"http://node{n}.localhost:{port}") for n in range(400)}
memory = MemoryBench()
store = memory.memory
store.looks[G] = store.suspected[G, HostName("node0"), Presence.PRESENT] = memory.now()
store.left[G] = {
    name: End(Presence.ABSENT, OperationId("one"), memory.now(), host.fingerprint)
    for name, host in hosts.items()
}
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
print(_told(patrol(replace(context(memory, None), host=hosts.get), G, beat_of(settings))))
"""


def test_a_patrol_of_more_hosts_than_files_asks_every_one(urls: list[str]) -> None:
    """A connection to each, kept, would leave the last hundred without an answer."""
    command = [sys.executable, "-c", PATROL, urls[0].rpartition(":")[2]]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ran.stdout, ran.stderr) == ("no drift on 400 hosts\n", "")


PROVIDE = """
import resource, sys
from lockstep.worker.tasks import provide_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
provide_files(300, least=300)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def provided(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROVIDE, str(soft), str(hard)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_limit_that_is_too_low_is_raised_as_far_as_it_may() -> None:
    assert provided(100, 500).stdout == "(500, 500)\n"
    assert provided(299, 300).stdout == "(300, 300)\n"
    assert provided(300, 500).stdout == "(300, 500)\n"
    assert provided(299, 299).returncode == 1


def test_a_system_that_calls_its_own_limit_none_is_asked_for_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As macOS does."""
    none = resource.RLIM_INFINITY
    limits = [(256, none)]

    def change(_: int, wanted: tuple[int, int]) -> None:
        if wanted[0] == none:
            raise ValueError("current limit exceeds maximum limit")
        limits[:] = [wanted]

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[0])
    monkeypatch.setattr(resource, "setrlimit", change)
    provide_files(300, least=300)
    assert limits == [(300, none)]


def started(files: int = 4096, **variables: str) -> subprocess.CompletedProcess[str]:
    """What comes of starting a worker that may open this many files."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "lockstep", "worker", "-Q", "rollback", "-c", "1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={"PATH": "/usr/bin:/bin", **variables},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hosts: {}", "has no list of hosts: start it with `hosts:` and one `- name:` each"),
        (None, "No such file"),
    ],
)
def test_a_worker_does_not_start_without_an_inventory_that_can_be_read(
    tmp_path: Path, text: str | None, why: str
) -> None:
    """Ready and alive, it would fail each step and each sweep."""
    file = tmp_path / "inventory.yaml"
    if text is not None:
        file.write_text(text)
    ran = started(LOCKSTEP_INVENTORY=str(file))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: inventory ")
    assert why in line


@pytest.mark.parametrize(
    ("more", "or_else"), [(0, ", or lower LOCKSTEP_CONCURRENCY or LOCKSTEP_SLICE_THREADS"), (-1, "")]
)
def test_a_worker_does_not_start_where_it_may_not_open_enough(more: int, or_else: str) -> None:
    """Lowering what it does at once helps where the smallest worker has enough."""
    settings = Settings(hosts="http://node1:1")
    needed, files = settings.open_files, settings.but(concurrency=1, slice_threads=1).open_files + more
    ran = started(files, LOCKSTEP_HOSTS=settings.hosts)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        f"lockstep: error: this worker may need {needed} open files, and {files} are allowed (ulimit -n): "
        f"raise that limit{or_else}"
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The work that was counted as not done."""
    found: list[str] = []
    monkeypatch.setattr(metrics, "count", lambda _, job: found.append(job))
    return found


def test_periodic_work_that_is_not_done_is_known_until_it_is(
    counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clock = itertools.count(1, 10)
    store = MemoryStore(lambda: Millis(next(clock)), LIMITS)
    runtime: Runtime = SimpleNamespace(store=store)  # type: ignore[assignment]

    def fail() -> str:
        raise OSError(24, "Too many open files")

    assert sweep.periodic(runtime, "sweep", 2.0, 1, fail) == "put off: [Errno 24] Too many open files"
    assert dict(store.failing()) == {"sweep": "[Errno 24] Too many open files"}
    assert counted == ["sweep"]
    assert "the sweep was not done: [Errno 24] Too many open files" in caplog.text
    assert store.lease("sweep-done", 1), "it was not done"

    assert sweep.periodic(runtime, "sweep", 2.0, 1, lambda: "resumed 0") == "resumed 0"
    assert dict(store.failing()) == {}
    assert not store.lease("sweep-done", 1)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_work_that_fails_as_nobody_expected_is_known_too(counted: list[str], error: Exception) -> None:
    store = MemoryStore(lambda: Millis(1), LIMITS)
    runtime: Runtime = SimpleNamespace(store=store)  # type: ignore[assignment]

    def fail() -> str:
        raise error

    with pytest.raises(type(error)):
        sweep.periodic(runtime, "sweep", 2.0, 1, fail)
    assert (counted, dict(store.failing())) == (["sweep"], {"sweep": repr(error)})


def test_work_fails_loudly_though_nothing_can_be_noted(
    counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(lambda: Millis(1), LIMITS)

    def away(*_: object) -> None:
        raise StoreUnavailable("Redis does not answer")

    monkeypatch.setattr(store, "note_done", away)
    monkeypatch.setattr(store, "note_failed", away)
    runtime: Runtime = SimpleNamespace(store=store)  # type: ignore[assignment]
    said = sweep.periodic(runtime, "patrol", 2.0, 1, lambda: "3 groups")
    assert said.startswith("put off: Redis does not")
    assert counted == ["patrol"]


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), StoreFull("full")])
def test_work_whose_lease_cannot_be_taken_is_counted(
    counted: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = MemoryStore(lambda: Millis(1), LIMITS)

    def refuse(*_: object) -> bool:
        raise error

    monkeypatch.setattr(store, "lease", refuse)
    runtime: Runtime = SimpleNamespace(store=store)  # type: ignore[assignment]
    assert sweep.periodic(runtime, "sweep", 2.0, 1, lambda: "resumed 0") == f"put off: {error}"
    assert counted == ["sweep"]
