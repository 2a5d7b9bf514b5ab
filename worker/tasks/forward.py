"""create_group and delete_group: the chord's header tasks, one host each."""

from __future__ import annotations

from celery import Task, shared_task

from worker.celery import CREATE_GROUP, DELETE_GROUP
from worker.operation.model import Action, GroupId, HostName, OperationId
from worker.steps import Next, Parts, Result, forward
from worker.tasks.shell import run_step
from worker.workflow import publish_conclude


@shared_task(bind=True, name=CREATE_GROUP)
def create_group(self: Task[..., str], operation: OperationId, group: GroupId, host: HostName) -> str:
    """Create the group on one host; return the outcome. Never raises for what a host does."""
    return _apply(self, operation, group, Action.CREATE, host)


@shared_task(bind=True, name=DELETE_GROUP)
def delete_group(self: Task[..., str], operation: OperationId, group: GroupId, host: HostName) -> str:
    """Delete the group on one host; return the outcome. Never raises for what a host does."""
    return _apply(self, operation, group, Action.DELETE, host)


def _apply(
    task: Task[..., str], operation: OperationId, group: GroupId, action: Action, host: HostName
) -> str:
    def step(parts: Parts, tries: int) -> Result:
        return forward(parts, operation, group, action, host, tries)

    result = run_step(task, step)
    if result.next is Next.FAILED:
        # Fail fast: the chord's own callback waits for the slowest header.
        publish_conclude(task.app, operation, group)
    return result.text
