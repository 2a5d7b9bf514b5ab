"""rollback_create and rollback_delete: undo the steps of one host or a slice of them."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from lockstep.worker.celery import ROLLBACK_CREATE, ROLLBACK_DELETE
from lockstep.worker.operation.model import GroupId, HostName, OperationId
from lockstep.worker.steps import Parts, Result, raised_later, rollback
from lockstep.worker.tasks.shell import run_steps


@shared_task(bind=True, name=ROLLBACK_CREATE)
def rollback_create(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
    """Delete what a create left on the hosts; return what it came to. Never gives up."""
    return _undo(self, operation, group, hosts)


@shared_task(bind=True, name=ROLLBACK_DELETE)
def rollback_delete(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
    """Restore what a delete took from the hosts; return what it came to. Never gives up."""
    return _undo(self, operation, group, hosts)


def _undo(task: Task[..., str], operation: OperationId, group: GroupId, hosts: tuple[HostName, ...]) -> str:
    def step(parts: Parts, host: HostName, tries: int) -> Result:
        return rollback(parts, operation, host, tries)

    return run_steps(task, operation, group, hosts, step, partial(raised_later, operation))
