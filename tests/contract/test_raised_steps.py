"""A step that raises what it must not raise: its host is unknown, the others go on, and it is seen.

And what is seen of a message that has no record, and of one that the record does not agree with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from lockstep.worker.celery import TaskName
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    OperationId,
    Outcome,
)
from lockstep.worker.process.greenlets import Handover
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import Next, StepContext, StepResult, forward, raised
from lockstep.worker.steps.rollback import raised_later, rollback
from lockstep.worker.tasks import run, tasks
from lockstep.worker.tasks.runtime import Runtime
from tests.contract.bench import MemoryBench
from tests.contract.driver import ABSENT, GROUP, A, B, C, Driver
from tests.groups_alone import GroupsAlone
from tests.waits import eventually

SECRET = "canary in the error's text"
REASON = "the step failed with UnicodeDecodeError: see the worker's log"


class Host(GroupsAlone):
    """A host that holds nothing; `broken`, its every call raises."""

    def __init__(self, name: HostName, broken: bool) -> None:
        self.fingerprint = f"url-of-{name}"
        self.broken = broken

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        if self.broken:
            raise UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET)
        return LookAnswer(LookVerdict.SEEN, "404", ABSENT)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Effect.APPLIED, "201")


@pytest.fixture
def create(memory: MemoryBench) -> Driver:
    return Driver(memory).accepted((A, B))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tasks: list[str] = []
    monkeypatch.setattr(
        metrics, "count", lambda name, *labels: tasks.extend(labels) if name == "steps_raised" else None
    )
    return tasks


def ran(
    create: Driver,
    memory: MemoryBench,
    monkeypatch: pytest.MonkeyPatch,
    step: Any,
    broken: Any,
    name: str = TaskName.CREATE_GROUP,
    group: GroupId = GROUP,
    hosts: Sequence[HostName] = (A, B),
    find: Callable[[HostName], Host] = lambda name: Host(name, name == A),
) -> str:
    made = Runtime(Settings(slice_threads=2), memory.store, find, find)
    monkeypatch.setattr(run, "runtime_of", lambda _: made)
    task: Any = SimpleNamespace(name=name, app=None, request=SimpleNamespace(retries=0, id="x"))
    return tasks.run_steps(task, create.id, group, hosts, step, broken)


def test_a_forward_step_that_raises_ends_as_unknown_and_holds_up_no_other_host(
    create: Driver, memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    def step(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
        return forward(context, operation, GROUP, Action.CREATE, host, tries)

    def broken(context: StepContext, operation: OperationId, host: HostName, reason: str) -> StepResult:
        return raised(context, operation, Action.CREATE, host, reason)

    concluded: list[object] = []
    monkeypatch.setattr(tasks, "publish_conclude", lambda _, *about: concluded.append(about))

    said = ran(create, memory, monkeypatch, step, broken)

    assert concluded == [(create.id, GROUP)]
    assert (create.step(A).outcome, create.step(A).reason) == (Outcome.UNKNOWN, REASON)
    assert create.step(B).outcome in (Outcome.APPLIED, None)  # None if A had decided before
    assert create.kept().decision is Decision.ROLL_BACK
    assert create.kept().reason == f"a: {REASON}"
    assert counted == ["create_group"]
    assert "canary" not in said + str(create.kept()) + str(create.step(A))


@pytest.mark.parametrize("comes_to", [Next.FAILED, Next.OVER])
def test_a_write_that_waits_for_its_connection_stays_once_another_step_was_told_of_the_decision(
    memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, comes_to: Next
) -> None:
    create = Driver(memory).accepted((A, B, C))
    connects: list[Handover[None]] = []
    left: list[bool] = []
    monkeypatch.setattr(tasks, "publish_conclude", lambda *_: None)

    class Late(Host):
        def write(
            self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, *_: object
        ) -> WriteAnswer:
            left.append(may_send())
            connects.append(Handover())
            connects[0].wait()
            left.append(may_send())
            return WriteAnswer(Effect.NOT_APPLIED, "too late to send")

    def step(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
        match host:
            case "a":
                result = forward(context, operation, GROUP, Action.CREATE, host, tries)
            case "b":
                create.roll_back()
                result = StepResult(comes_to, "403")
            case _:
                connects[0].bring(None)
                result = StepResult(Next.DONE, "unchanged")
        return result

    ran(create, memory, monkeypatch, step, None, hosts=(A, B, C), find=lambda name: Late(name, False))
    assert left == [True, False]
    assert not create.step(A).open_attempts


def test_what_was_told_of_an_operation_before_holds_no_write_back(memory: MemoryBench) -> None:
    """It may have been about another one of that id."""
    one, two = Driver(memory).accepted((A,)).id, OperationId("two")
    made = Runtime(Settings(), memory.store, lambda _: None, lambda _: None)
    context, orders = made.context, made.orders
    context.order(one)
    orders.note_decided(one)
    forward_one, forward_two, undo = (context.may_send(each) for each in (one, two, None))
    assert forward_one()
    for each in (one, two):
        orders.note_decided(each)
    assert (forward_one(), forward_two(), undo()) == (False, True, True)


def test_of_hosts_that_fail_the_first_has_the_operation_concluded(
    create: Driver, memory: MemoryBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    concluded: list[object] = []
    monkeypatch.setattr(tasks, "publish_conclude", lambda _, *about: concluded.append(about))

    def step(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
        if host == B:
            eventually(lambda: concluded, "the other has failed")
        return StepResult(Next.FAILED, "403")

    assert ran(create, memory, monkeypatch, step, step) == "403: 2"
    assert concluded == [(create.id, GROUP)]


def test_a_rollback_that_raises_is_come_back_to_and_named(
    create: Driver, memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    create.begin(A, "a1")
    create.roll_back()

    ran(create, memory, monkeypatch, rollback, raised_later)
    assert (create.step(A).reason, create.step(A).undo_misses) == (REASON, 1)
    assert counted == ["create_group"]
    assert create.kept().pending_hosts == (A,)


@pytest.mark.parametrize("dropped", [True, False])
def test_a_late_message_about_an_operation_that_was_dropped_is_no_lost_record(
    create: Driver,
    memory: MemoryBench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    dropped: bool,
) -> None:
    caplog.set_level(logging.INFO)
    counted: list[str] = []
    monkeypatch.setattr(metrics, "count", counted.append)
    if dropped:
        create.apply(A, B).commit()
        memory.pass_time(2)
        assert memory.memory.forget(0, 0, 100) == 1
    else:
        create.id = OperationId("lost")

    def step(*_: object) -> StepResult:
        raise AssertionError("nothing is done without a record")

    assert ran(create, memory, monkeypatch, step, step) == run.DROPPED
    assert (len(counted), len(memory.memory.lost())) == ((0, 0) if dropped else (1, 1))
    told = "was dropped after its end" if dropped else f"may have been changed ({A}, {B})"
    assert told in caplog.text


STRANGER = HostName("no-such-host")
OTHER = GroupId("somebody-elses")


@pytest.mark.parametrize(
    ("name", "group", "hosts", "asked"),
    [
        (TaskName.CREATE_GROUP, GROUP, (A, B, A, A), {A, B}),
        (TaskName.GATE, GROUP, (A,), {A}),
        (TaskName.CREATE_GROUP, GROUP, (STRANGER, B), {B}),
        (TaskName.CREATE_GROUP, OTHER, (A, B), set()),
        (TaskName.GATE, OTHER, (A,), set()),
        (TaskName.DELETE_GROUP, GROUP, (A, B), set()),
        (TaskName.ROLLBACK_DELETE, GROUP, (A, B), set()),
    ],
)
def test_a_message_is_believed_where_the_record_agrees(
    create: Driver,
    memory: MemoryBench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    group: GroupId,
    hosts: tuple[HostName, ...],
    asked: set[HostName],
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(metrics, "count", lambda name, *_: counted.append(name))
    stepped: list[HostName] = []
    read = Mock(side_effect=memory.memory.order)
    monkeypatch.setattr(memory.memory, "order", read)

    def step(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
        stepped.append(host)
        return StepResult(Next.DONE, "done")

    said = ran(create, memory, monkeypatch, step, step, name, group, hosts)
    assert (sorted(stepped), said == run.DROPPED) == (sorted(asked), not asked)
    dropped = asked < set(hosts)
    assert counted.count("messages_dropped") == dropped
    assert ("says otherwise" in caplog.text) == dropped
    assert read.call_count == 1 + dropped, "it is read again where it does not agree"


@pytest.mark.parametrize("there", [True, False])
def test_a_step_that_finds_no_record_is_told_of_if_there_is_none(
    create: Driver, memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def step(*_: object) -> StepResult:
        if not there:
            memory.memory.records.pop(create.id, None)
        return StepResult(Next.OVER, "no record")

    ran(create, memory, monkeypatch, step, step)
    assert set(memory.memory.lost()) == (set() if there else {create.id})
