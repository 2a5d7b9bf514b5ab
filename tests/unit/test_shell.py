"""What the shell around the steps does when the broker does not take the next try."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import Reject

from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.operation.model import GroupId, HostName, OperationId
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import Next, StepResult
from lockstep.worker.tasks import run, tasks
from lockstep.worker.tasks.runtime import build_runtime
from tests.unit.raw_server import refusing_port

NODE1 = HostName("node1")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, none of which takes any time."""
    waits: list[float] = []
    monkeypatch.setattr(run, "rest", waits.append)
    monkeypatch.setattr(tasks, "believed", lambda *_: [NODE1])
    return waits


def test_a_retry_that_cannot_be_published_waits_and_goes_back_to_its_queue(waited: list[float]) -> None:
    """Celery itself would have the message dropped."""
    settings = Settings(redis_url=f"redis://127.0.0.1:{refusing_port()}/0", hosts="http://node1:1")
    app: Any = make_app(settings)
    app.build_runtime = build_runtime
    task = app.tasks[TaskName.CREATE_GROUP]
    task.push_request(args=("o", "g", NODE1), kwargs={}, id="x", called_directly=False, retries=0)
    try:
        with pytest.raises(Reject) as raised:
            tasks.run_steps(
                task,
                OperationId("o"),
                GroupId("g"),
                [NODE1],
                lambda *_: StepResult(Next.AGAIN, "500", delay=0.1),
                lambda *_: StepResult(Next.DONE, "never"),
            )
    finally:
        task.pop_request()
        app.close()
    assert repr(raised.value) == "reject requeue=True: the next try could not be published"
    (wait,) = waited
    assert 0.5 * run.REQUEUE <= wait <= 1.5 * run.REQUEUE


def test_messages_that_go_back_do_not_all_come_again_at_once(waited: list[float]) -> None:
    for _ in range(20):
        run._put_back("away")
    assert 1.0 <= min(waited) < 2.0 < max(waited) <= 3.0


def test_a_step_goes_to_another_process_where_this_one_cannot_read_the_inventory(waited: list[float]) -> None:
    """A child of a pool that is new reads it at its first step, and the file may have a fault since."""
    app: Any = make_app(Settings(hosts="http://node1:1"))
    app.build_runtime = build_runtime
    app.settings = Settings(inventory="/nowhere/inventory.yaml")
    with pytest.raises(Reject) as raised:
        run.guarded(app.tasks[TaskName.CREATE_GROUP], lambda _: pytest.fail("there is nothing to run with"))
    app.close()
    assert repr(raised.value).startswith("reject requeue=True: inventory ")
    assert len(waited) == 1
