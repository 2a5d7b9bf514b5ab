"""What the task at the end of a chord tells, and that it believes no message against the record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.model import GroupId, OperationId, Status
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import NO_RECORD
from lockstep.worker.tasks import run, tasks
from lockstep.worker.tasks.runtime import Orders
from tests.contract.bench import MemoryBench
from tests.contract.driver import GROUP, A, B, Driver
from tests.contract.waves import TWO, accepted


class ConcludeBench:
    """An application on a record in memory, the operations that it published more of, and that it counted."""

    def __init__(self, memory: MemoryBench, patch: pytest.MonkeyPatch) -> None:
        app: Any = make_app(Settings(hosts="http://a:1"))
        self.app = app
        self.app.loader.import_default_modules()
        self.read = Mock(side_effect=memory.memory.order)
        runtime = SimpleNamespace(store=memory.memory, orders=Orders(self.read))
        self.app.build_runtime = lambda _: runtime
        self.published: list[OperationId] = []
        self.counted: list[Status] = []
        patch.setattr(tasks, "publish_next", lambda _, __, operation: self.published.append(operation))
        patch.setattr(metrics, "operation_seen", lambda operation, _: self.counted.append(operation))

    def says(self, operation: OperationId, group: GroupId = GROUP) -> str:
        """What the task comes to."""
        said: str = self.app.tasks[TaskName.CONCLUDE](operation, group)
        return said


@pytest.fixture
def concluding(memory: MemoryBench, monkeypatch: pytest.MonkeyPatch) -> ConcludeBench:
    return ConcludeBench(memory, monkeypatch)


def test_the_callback_tells_where_an_operation_stands(memory: MemoryBench, concluding: ConcludeBench) -> None:
    one = Driver(memory).accepted((A, B))
    assert concluding.says(one.id) == "applying: 0 of 2 hosts done"
    one.apply(A)
    assert concluding.says(one.id) == "applying: 1 of 2 hosts done"
    one.apply(B).commit()
    assert concluding.says(one.id) == "committed"
    assert concluding.published == [one.id] * 3
    assert concluding.read.call_count == 1, "what an operation is about never changes"
    assert [each.id for each in concluding.counted] == [one.id] * 3
    two = Driver(memory, "two").accepted((A, B))
    two.roll_back()
    assert concluding.says(two.id) == "rolled back: cancelled by why"


def test_the_callback_tells_which_wave_an_operation_is_in(
    memory: MemoryBench, concluding: ConcludeBench
) -> None:
    driver = accepted(memory, TWO)
    assert concluding.says(driver.id) == "applying: wave 1 of 2, working; 0 of 2 hosts done"


def test_the_callback_believes_no_message_about_another_group(
    memory: MemoryBench, concluding: ConcludeBench
) -> None:
    driver = Driver(memory).accepted((A, B))
    assert concluding.says(driver.id, GroupId("somebody-elses")) == run.DROPPED
    assert (concluding.published, concluding.counted) == ([], [])


def test_an_operation_without_a_record_is_told_of(
    memory: MemoryBench, concluding: ConcludeBench, caplog: pytest.LogCaptureFixture
) -> None:
    assert concluding.says(OperationId("lost")) == NO_RECORD
    assert "may have been changed (this message names none)" in caplog.text
    assert (set(memory.memory.lost()), concluding.counted) == ({"lost"}, [])
