"""What is counted, told and published of steps, whatever they came to."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.errors import RecordDamaged
from lockstep.worker.operation.model import HostName, OperationId
from lockstep.worker.steps.apply import Next, StepContext, StepResult
from lockstep.worker.tasks import tasks
from tests.contract.bench import MemoryBench
from tests.contract.driver import A, B, Driver
from tests.contract.test_raised_steps import ran


def test_what_steps_came_to_is_counted_and_of_one_host_alone_its_story_is_read(
    memory: MemoryBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Driver(memory).accepted((A, B))
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(metrics, "count", lambda *what: counted.append(what))
    viewed = Mock(side_effect=memory.memory.view)
    monkeypatch.setattr(memory.memory, "view", viewed)
    tried: list[int] = []

    def step(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
        tried.append(tries)
        return StepResult(Next.DONE, "201", outcome="applied") if host == A else StepResult(Next.OVER, "over")

    def later(*_: object) -> StepResult:
        return StepResult(Next.LATER, "429", delay=5.0)

    assert ran(create, memory, monkeypatch, step, step) == "201: 1 · over: 1"
    each = [("steps", "create_group", came) for came in ("applied", "over")]
    assert (sorted(counted), tried) == (each, [1, 1])
    assert viewed.call_count == 0
    assert ran(create, memory, monkeypatch, step, step, hosts=(A,)) == "nothing sent yet"
    assert viewed.call_count == 1
    counted.clear()
    assert ran(create, memory, monkeypatch, later, later, hosts=(A,)) == "429"
    assert counted == []


def test_what_a_step_has_opened_is_published_and_what_cannot_be_read_is_left_alone(
    memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create = Driver(memory).accepted((A,))
    published: list[object] = []
    monkeypatch.setattr(memory.memory, "called", lambda: iter([OperationId("opened")]))
    monkeypatch.setattr(tasks, "publish_next", lambda *what, resume: published.append((*what, resume)))

    def step(*_: object) -> StepResult:
        raise RecordDamaged("no step")

    ran(create, memory, monkeypatch, step, step, hosts=(A,))
    assert published == [(None, memory.memory, "opened", True)]
    assert f"host {A} is left as it is, for its step cannot be read: no step" in caplog.messages


def test_what_a_step_must_not_raise_stands_in_the_log(
    memory: MemoryBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mistake = KeyError("ours")

    def step(*_: object) -> StepResult:
        raise mistake

    def broken(*_: object) -> StepResult:
        return StepResult(Next.LATER, "it is looked at again", delay=5.0)

    ran(Driver(memory).accepted((A, B)), memory, monkeypatch, step, broken)
    told = [each for each in caplog.records if each.levelname == "ERROR"]
    assert {each.getMessage() for each in told} == {
        f"a step raised an error that it must not raise, for host {host}" for host in (A, B)
    }
    assert all(each.exc_info and each.exc_info[1] is mistake for each in told)
