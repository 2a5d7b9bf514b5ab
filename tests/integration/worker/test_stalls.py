"""A worker that stands still for good ends itself, is started again, and its operations end as promised."""

from __future__ import annotations

import resource
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstep import ClusterClient, load_settings
from lockstep.mock_api.admin import ClusterAdmin
from lockstep.producer.cli import main
from lockstep.producer.doctor import Level
from lockstep.producer.doctor.checks import on_failing, on_stalls
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.monitoring.heartbeat import EXIT
from lockstep.worker.operation.model import Action, GroupId, State
from lockstep.worker.record.link import Link
from lockstep.worker.tasks.figures import FiguresReader
from tests import wedge
from tests.integration.stacks import Stack
from tests.integration.worker.harness import SHORT, Bench
from tests.waits import PATIENCE, eventually
from tests.warm import one_more, warming

NOTICED = 120.0
"""Seconds within which a stall of these short times is over, on a busy machine."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Wedges the next worker when it is written."""
    return tmp_path / "wedge"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def stack(file: Path, told: list[str]) -> Iterator[Stack]:
    short = {f"LOCKSTEP_{name.upper()}": value for name, value in SHORT.items()}
    env = {**short, **wedge.environment(str(file))}
    with warming(), one_more(), Stack(nodes=3, env=env, say=told.append) as started:
        yield started


@pytest.mark.timeout(3 * NOTICED)
def test_a_wedged_worker_is_restarted_by_the_stack_and_named_and_its_operations_end(
    stack: Stack, file: Path, told: list[str]
) -> None:
    settings = load_settings(**stack.settings)
    file.touch()
    with ClusterClient(settings) as cluster:
        operations = [cluster.create_group(f"team-{number}") for number in range(4)]
        results = [operation.wait_end(timeout=NOTICED) for operation in operations]
        admin = ClusterAdmin(stack.admin_url)
        for result in results:
            holding = {name for name in stack.nodes if result.group in admin.groups(name)}
            assert holding == (set(stack.nodes) if result.committed else set())

        eventually(lambda: told, "the supervisor heard of an end", NOTICED)
        name = told[0].split()[0]
        assert told == [f"{name} ended with status {EXIT}; it starts again in 0.2 s"]
        stack.wait_running(name)
        log = stack.process(name).log.read_text()
        assert "this process stands still, and ends" in log
        assert "gathering" in log.partition("its threads:")[2], "the stacks of all threads are in the log"

        link = Link(settings)
        (stall,) = link.stalls.all()
        assert stall.worker.startswith(f"{name}@")
        (finding,) = on_stalls([stall])
        assert finding.level is Level.WARNING
        assert stall.worker in finding.text
        assert list(FiguresReader(settings).read()["worker_stalled_seconds"]) == [stall.worker]
        link.close()
        assert cluster.create_group("afterwards").wait_end(timeout=NOTICED).committed
    assert len(told) == 1


@pytest.mark.timeout(3 * NOTICED)
@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_a_step_that_never_ends_is_done_by_another_process(bench: Bench, pool: str) -> None:
    bench.beat()
    held, mark = bench.held_worker("after POST answered", ["-P", pool])
    operation = bench.start(Action.CREATE)
    stuck = int(eventually(lambda: mark.exists() and mark.read_text(), "a step is held"))
    bench.worker("next")
    end = bench.end(operation, NOTICED)
    assert end.operation.state.value in ("committed", "rolled_back")
    if pool == "threads":
        eventually(lambda: not held.running, "the worker that stood still ended", NOTICED)
        assert held.fate == f"ended with status {EXIT}"
    else:
        eventually(lambda: not Path(f"/proc/{stuck}").exists(), "the child that stood still ended", NOTICED)
        assert held.running, "its parent goes on, and has another child"
    assert "this process stands still" in held.log.read_text()


def test_a_worker_that_may_open_no_more_files_says_so_and_goes_on_once_it_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sweep once came to nothing for good, and every check called it well. Later, tasks that Celery could
    not even end kept their messages until no more could be taken: it outlives more of them than it can hold.
    """
    for name, value in bench.values.items():
        monkeypatch.setenv(f"LOCKSTEP_{name.upper()}", value)

    port = free_port()
    bench.beat()
    worker = bench.worker(env={"LOCKSTEP_METRICS_PORT": str(port)})
    with closing(Link(bench.settings)) as link:
        eventually(lambda: link.leased("sweep-done"), "it has what its sweep reads the record by")
    allowed = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    # It has published nothing so far, so what the sweep finds due needs a connection that it cannot open.
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (8, allowed[1]))
    groups = [GroupId(f"{bench.group}-{number}") for number in range(24)]
    under_load = [bench.start(Action.CREATE, group) for group in groups]

    def told() -> bool:
        """Tell whether all who ask are told; a sweep that finds nothing due, between two, is done."""
        failing = bench.store.failing()
        if "Too many open files" not in failing.get("sweep", "") or main(["list", "--stuck"]) != 1:
            return False
        said = capsys.readouterr().err
        (found,) = on_failing(failing)
        assert (found.level, found.subject) == (Level.FAILURE, "sweep")
        return "the sweep runs and is not done" in said

    eventually(told, "the failure is kept, and told")
    assert "the sweep was not done" in worker.output()

    if worker.running:
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, allowed)
    else:
        worker.launch()  # as its supervisor would: it had to connect anew, and could not
    eventually(lambda: not bench.store.failing(), "the sweep is done again")
    for operation, group in zip(under_load, groups, strict=True):
        committed = bench.end(operation, NOTICED).operation.state is State.COMMITTED
        assert bench.holding(group) == (set(bench.cluster.nodes) if committed else set())
    assert bench.end(bench.start(Action.DELETE)).operation.state is State.COMMITTED
    assert bench.holding() == set()
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE) as answer:
        assert 'lockstep_not_done_total{work="sweep"}' in answer.read().decode()
