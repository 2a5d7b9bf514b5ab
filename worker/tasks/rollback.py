"""rollback_create and rollback_delete: undo one host's step."""

from __future__ import annotations

from celery import Task, shared_task

from worker.celery import ROLLBACK_CREATE, ROLLBACK_DELETE
from worker.operation.model import GroupId, HostName, OperationId
from worker.steps import Parts, Result, rollback
from worker.tasks.shell import run_step


@shared_task(bind=True, name=ROLLBACK_CREATE)
def rollback_create(self: Task[..., str], operation: OperationId, group: GroupId, host: HostName) -> str:
    """Delete what a create left on one host; return what it came to. Never gives up."""
    return _undo(self, operation, host)


@shared_task(bind=True, name=ROLLBACK_DELETE)
def rollback_delete(self: Task[..., str], operation: OperationId, group: GroupId, host: HostName) -> str:
    """Restore what a delete took from one host; return what it came to. Never gives up."""
    return _undo(self, operation, host)


def _undo(task: Task[..., str], operation: OperationId, host: HostName) -> str:
    def step(parts: Parts, tries: int) -> Result:
        return rollback(parts, operation, host, tries)

    return run_step(task, step).text
