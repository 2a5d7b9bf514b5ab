"""What runs at every period: for how long one worker keeps it from the others, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.worker.celery import Lockstep, TaskName, make_app
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.model import (
    Action,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Presence,
)
from lockstep.worker.operation.transitions import Claim, Phase, Request
from lockstep.worker.settings import Settings
from lockstep.worker.steps.looks import PatrolResult
from lockstep.worker.tasks import sweep, tasks
from tests.contract.bench import LIMITS
from tests.twin.store import MemoryStore


def raising(error: Exception) -> Callable[..., object]:
    """Return something that raises this whenever it is called."""

    def call(*_: object) -> object:
        raise error

    return call


class Periods:
    """An application whose record is in memory, at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000
        self.store = MemoryStore(lambda: Millis(self.now), LIMITS)
        self.app: Lockstep = make_app(Settings(hosts="http://node1:1", patrol_every=300, sweep_every=2))
        self.app.loader.import_default_modules()
        runtime = SimpleNamespace(store=self.store, settings=self.app.settings)
        self.app.build_runtime = lambda _: runtime  # type: ignore[attr-defined]

    def run(self, task: str) -> str:
        """Run it as a worker does, at this time."""
        said: str = self.app.tasks[task]()
        return said


@pytest.fixture
def periods() -> Iterator[Periods]:
    made = Periods()
    yield made
    made.app.close()


@pytest.mark.parametrize(("task", "held"), [(TaskName.PATROL, 150_000), (TaskName.SWEEP, 1000)])
def test_half_a_period_after_it_was_done_another_worker_may_do_it_again(
    periods: Periods, task: str, held: int
) -> None:
    """A message that comes twice is done once, and the next period's is not held up."""
    name, said = task.removeprefix("lockstep."), periods.run(task)
    assert said in ("0 groups", "resumed 0")
    assert periods.store.leases[f"{name}-done"] == periods.now + 6 * held, "for three periods"
    periods.now += held - 1
    assert periods.run(task) == f"another {name} is at it"
    periods.now += 1
    assert periods.run(task) == said


DUE = ("newer", "damaged", "stands", "waits", "ended", "gone")


class SweepBench:
    """What a sweep of six operations does: one is newer than this worker, one damaged, and it reads four."""

    def __init__(self, periods: Periods, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, object]] = []
        self.counted: list[object] = []
        self.calls: list[tuple[object, ...]] = []
        store = periods.store
        answers = {"due": DUE, "put_last": None, "forget": None, "keep_lease": None}
        patch.setattr(store, "operation", self._operation)
        for name, answer in answers.items():
            patch.setattr(store, name, partial(self._note, answer, name))
        patch.setattr(sweep, "publish_next", self._publish_next)
        patch.setattr(metrics, "operation_seen", lambda operation, _: self.counted.append(operation))

    def _note(self, answer: object, name: str, *given: object) -> object:
        self.calls.append((name, *map(str, given)))
        return answer

    def _operation(self, operation: str) -> str | None:
        match operation:
            case "newer":
                raise UnknownFormat("format 99")
            case "damaged":
                raise RecordDamaged("no step")
        return None if operation == "gone" else f"the {operation}"

    def _publish_next(self, _: object, __: object, operation: OperationId, **how: Any) -> Claim | None:
        self.asked.append((operation, how))
        hosts = (HostName("node1"),) if operation == "stands" else ()
        if operation in ("ended", "gone"):
            return None
        return Claim(Phase.FORWARD, GroupId("g"), Action.CREATE, hosts)


def test_a_sweep_resumes_what_stands_and_leaves_alone_what_it_cannot_read(
    periods: Periods, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = SweepBench(periods, monkeypatch)
    assert periods.run(TaskName.SWEEP) == "resumed 1"
    readable = DUE[2:]
    assert swept.asked == [(operation, {"resume": True}) for operation in readable]
    assert swept.counted == ["the ended"]
    settings = periods.app.settings
    each, days = ("keep_lease", "sweep", "6000"), round(settings.retention_days * 86_400_000)
    assert swept.calls == [
        ("forget", str(days), str(settings.retention_count), "100"),
        ("due", str(settings.sweep_batch)),
        *[each] * 2,
        ("put_last", "damaged", "no step", "60000"),
        *[each] * len(readable),
        ("keep_lease", "sweep", "1000"),
    ]


def looked(periods: Periods, monkeypatch: pytest.MonkeyPatch, came: PatrolResult) -> tuple[list[Any], str]:
    """Return what is published and counted when a look at a group came to this, and what it says."""
    done: list[Any] = []
    monkeypatch.setattr(tasks, "patrol_step", lambda *_: came)
    monkeypatch.setattr(tasks, "publish", lambda _, *sent: done.append(sent))
    monkeypatch.setattr(metrics, "count", lambda *what: done.append(what))
    context = SimpleNamespace(store=periods.store, settings=periods.app.settings, context=None)
    monkeypatch.setattr(periods.app, "build_runtime", lambda _: context)
    said: str = periods.app.tasks[TaskName.PATROL_GROUP]("g")
    return done, said


def test_a_look_that_brought_no_answer_at_all_is_counted_and_told(
    periods: Periods, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done, said = looked(periods, monkeypatch, PatrolResult(asked=2))
    assert (done, said) == ([("not_done", "patrol")], "not known: none of 2 hosts answered")
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    caplog.clear()
    for fine in (PatrolResult(), PatrolResult(asked=2, answered=1), PatrolResult(asked=2, answered=2)):
        assert looked(periods, monkeypatch, fine)[0] == []
    assert not caplog.records
    assert periods.store.failing() == {"patrol": "none of 2 hosts answered about group g"}
    assert periods.run(TaskName.PATROL) == "0 groups"
    assert periods.store.failing() == {}, "until the next patrol"


def test_a_look_that_fails_as_nobody_expected_is_counted_and_kept(
    periods: Periods, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(tasks, "patrol_step", raising(KeyError("node1")))
    monkeypatch.setattr(metrics, "count", lambda *what: done.append(what))
    context = SimpleNamespace(store=periods.store, settings=periods.app.settings, context=None)
    monkeypatch.setattr(periods.app, "build_runtime", lambda _: context)
    with pytest.raises(KeyError):
        periods.app.tasks[TaskName.PATROL_GROUP]("g")
    assert done == [("not_done", "patrol")]
    assert periods.store.failing() == {"patrol": "the look at group g failed with KeyError"}


def test_only_a_sweep_that_was_done_is_counted_as_one(
    periods: Periods, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(metrics, "count", lambda *what: counted.append(what))
    with monkeypatch.context() as broken:
        broken.setattr(periods.store, "due", raising(OSError(24, "Too many open files")))
        assert periods.run(TaskName.SWEEP) == "put off: [Errno 24] Too many open files"
    assert counted == [("not_done", "sweep")]
    periods.now += 1000
    assert periods.run(TaskName.SWEEP) == "resumed 0"
    assert counted == [("not_done", "sweep"), ("sweeps",)]


def test_a_repair_of_the_patrols_is_published(periods: Periods, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = (HostRef(HostName("a"), "url-of-a"), HostRef(HostName("b"), "url-of-b"))
    repair = Request(OperationId("r"), GroupId("g"), Action.DELETE, hosts, 1000, "patrol")
    done, said = looked(periods, monkeypatch, PatrolResult(repairs=(repair,), asked=2, answered=2))
    claim = Claim(Phase.FORWARD, GroupId("g"), Action.DELETE, (HostName("a"), HostName("b")))
    assert (done, said) == ([("r", claim)], "no drift on 2 hosts")
    assert claim.number == 0, "it has no waves"


@pytest.mark.parametrize(
    ("explained", "why"),
    [(True, "a late write, being repaired"), (False, "unexplained: see `lockstep drift`")],
)
def test_drift_that_is_new_is_told(
    periods: Periods,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    explained: bool,
    why: str,
) -> None:
    end = End(Presence.PRESENT, OperationId("one"), Millis(5), "url")
    found = Drift(GroupId("g"), HostName("a"), end, Presence.ABSENT, Millis(9), explained)
    _, said = looked(periods, monkeypatch, PatrolResult((found,), (found,), asked=1, answered=1))
    assert said == "drift on a; 0 repairs begun"
    assert caplog.messages == [f"drift: g is absent on a, but operation one left it present ({why})"]
