"""What each task has published, counted and told, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.exceptions import Ignore, Reject

from lockstep.worker.celery import Lockstep, TaskName, make_app
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.answer import StopOrdered
from lockstep.worker.operation.errors import InvalidInput, RecordDamaged, StoreFull, StoreUnavailable
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State
from lockstep.worker.operation.transitions import Order
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import NO_RECORD
from lockstep.worker.steps.looks import gate
from lockstep.worker.steps.rollback import raised_later, rollback, settle
from lockstep.worker.tasks import run, runtime, sweep, tasks
from lockstep.worker.tasks.runtime import GARBAGE, Orders, Runtimes, build_runtime
from tests.children import in_child


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was counted, and what else a test notes."""
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr(metrics, "count", lambda *what: found.append(what))
    return found


@pytest.fixture
def app() -> Iterator[Lockstep]:
    made = make_app(Settings(hosts="http://node1:1"))
    made.loader.import_default_modules()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("error", "becomes", "counted", "told"),
    [
        (StopOrdered(), Reject, 0, ""),
        (StoreUnavailable("gone"), Reject, 1, ""),
        (StoreFull("full"), Reject, 1, ""),
        (RecordDamaged("no step"), Ignore, 0, "settle is dropped: what it is about cannot be read: no step"),
    ],
)
def test_redis_out_of_reach_is_counted_and_what_is_dropped_is_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    done: list[tuple[object, ...]],
    error: Exception,
    becomes: type[Exception],
    counted: int,
    told: str,
) -> None:
    monkeypatch.setattr(run, "runtime_of", lambda _: None)
    monkeypatch.setattr(run, "rest", lambda _: None)
    task: Any = SimpleNamespace(name="settle", app=None)
    with pytest.raises(becomes) as found:
        run.guarded(task, Mock(side_effect=error))
    assert getattr(found.value, "requeue", True), "it comes back"
    assert done == [("redis_errors",)] * counted
    assert caplog.messages == ([told] if told else [])


@pytest.mark.parametrize(
    ("name", "arguments"), [(TaskName.SWEEP, ()), (TaskName.PATROL, ()), (TaskName.PATROL_GROUP, ("team-a",))]
)
def test_a_new_process_that_cannot_read_the_inventory_gives_periodic_work_back(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    app: Lockstep,
    name: str,
    arguments: tuple[str, ...],
) -> None:
    """It may have no file left to open: another process has read it, and can do the work."""
    monkeypatch.setattr(run, "runtime_of", Mock(side_effect=InvalidInput("it cannot be read")))
    monkeypatch.setattr(run, "rest", lambda _: None)
    with pytest.raises(Reject) as found:
        app.tasks[name].run(*arguments)
    assert getattr(found.value, "requeue", False)
    assert caplog.messages == [f"{name} goes to another process: it cannot be read"]


@pytest.mark.parametrize(
    ("state", "noted", "says"),
    [(None, "gone", NO_RECORD), (State.COMMITTED, "seen", "committed")],
)
def test_concluding_publishes_what_is_next_and_counts_what_it_came_to(
    monkeypatch: pytest.MonkeyPatch,
    app: Lockstep,
    done: list[tuple[object, ...]],
    state: State | None,
    noted: str,
    says: str,
) -> None:
    kept = state and SimpleNamespace(state=state, reason=None)
    store = Mock(operation=lambda _: kept)
    order = Order(GroupId("g"), Action.CREATE, frozenset({HostName("node1")}))
    found = SimpleNamespace(store=store, orders=Orders(lambda _: order))
    monkeypatch.setattr(app, "build_runtime", lambda _: found, raising=False)
    monkeypatch.setattr(tasks, "publish_next", lambda _, __, operation: done.append(("next", operation)))
    monkeypatch.setattr(tasks, "record_gone", lambda *_: done.append(("gone",)))
    monkeypatch.setattr(metrics, "operation_seen", lambda *_: done.append(("seen",)))
    assert app.tasks[TaskName.CONCLUDE]("o", "g") == says
    assert done == [("next", "o"), (noted,)]
    done.clear()
    assert app.tasks[TaskName.CONCLUDE]("o", "another") == run.DROPPED
    assert done == [("messages_dropped",)]


def test_a_patrol_forgets_what_was_deleted_and_publishes_what_is_due(
    monkeypatch: pytest.MonkeyPatch, app: Lockstep, done: list[tuple[object, ...]]
) -> None:
    store = Mock(patrol_due=lambda most: (GroupId("a"), GroupId("b"))[:most])
    found = SimpleNamespace(store=store, settings=app.settings)
    monkeypatch.setattr(app, "build_runtime", lambda _: found, raising=False)
    monkeypatch.setattr(tasks, "publish_patrol", lambda _, groups: done.append(groups))
    assert app.tasks[TaskName.PATROL]() == "2 groups"
    assert done == [("a", "b")]
    store.forget_deleted.assert_called_once_with(round(app.settings.deleted_days * 86_400_000))


def test_a_sweep_is_counted_and_moves_with_each_operation(
    monkeypatch: pytest.MonkeyPatch, app: Lockstep, done: list[tuple[object, ...]]
) -> None:
    store = Mock(due=lambda _: (OperationId("a"), OperationId("b")), queue_length=lambda _: 0)
    found = SimpleNamespace(store=store, settings=app.settings)
    monkeypatch.setattr(app, "build_runtime", lambda _: found, raising=False)
    monkeypatch.setattr(sweep, "publish_next", lambda *_, resume: None)
    monkeypatch.setattr(metrics, "operation_seen", lambda *_: None)
    monkeypatch.setattr(metrics.work, "moves", lambda: done.append(("moves",)))
    assert app.tasks[TaskName.SWEEP]() == "resumed 0"
    assert [each for each in done if each != ("moves",)] == [("sweeps",)]
    assert done.count(("moves",)) >= 2


def test_a_call_is_counted_and_timed_by_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[object, ...]] = []
    now = iter((100.0, 102.5))
    monkeypatch.setattr(runtime, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(runtime, "count", lambda *what: done.append(what))
    monkeypatch.setattr(runtime, "took", lambda *what: done.append(what))
    monkeypatch.setattr(runtime, "work", SimpleNamespace(moves=lambda: done.append(("moves",))))
    assert runtime._timed("look", lambda: "it is there", str.upper) == "it is there"
    assert done == [("moves",), ("attempts", "look", "IT IS THERE"), ("call_seconds", 2.5, "look")]


def test_a_process_looks_seldom_for_garbage_and_never_among_what_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = Mock()
    monkeypatch.setattr(runtime, "gc", collector)
    build_runtime(Settings(hosts="http://node1:1"))
    assert [each[0] for each in collector.mock_calls] == ["freeze", "set_threshold"]
    collector.set_threshold.assert_called_once_with(GARBAGE)


def test_a_forked_process_builds_a_runtime_of_its_own() -> None:
    app = Mock(build_runtime=lambda _: object())
    runtimes = Runtimes()
    before = runtimes.of(app)
    assert not in_child(lambda: runtimes.of(app) is before)
    assert runtimes.of(app) is before


def test_only_of_what_comes_every_few_seconds_flower_is_told_nothing(app: Lockstep) -> None:
    ours = {name: task for name, task in app.tasks.items() if name.startswith("lockstep.")}
    assert {name for name, task in ours.items() if not task.send_events} == {TaskName.SWEEP, TaskName.PATROL}


@pytest.mark.parametrize(
    ("name", "step", "raised"),
    [
        (TaskName.CREATE_GROUP, None, None),
        (TaskName.DELETE_GROUP, None, None),
        (TaskName.GATE, gate, None),
        (TaskName.ROLLBACK_CREATE, rollback, raised_later),
        (TaskName.ROLLBACK_DELETE, rollback, raised_later),
        (TaskName.SETTLE, settle, raised_later),
    ],
)
def test_each_task_runs_its_step_for_the_hosts_of_its_message(
    monkeypatch: pytest.MonkeyPatch, app: Lockstep, name: str, step: object, raised: object
) -> None:
    monkeypatch.setattr(tasks, "run_steps", lambda *given: given)
    given: Any = app.tasks[name]("op", "team", "a", "b")
    assert given[:4] == (app.tasks[name], "op", "team", ("a", "b"))
    assert step is None or given[4] is step
    assert raised is None or given[5] is raised
    if name == TaskName.GATE:
        assert given[5].keywords == {"counted": False}, "it is no failed try to undo"
