"""create_group and delete_group: the chord's header tasks, for one host or a slice of them."""

from __future__ import annotations

import threading

from celery import Task, shared_task

from lockstep.worker.celery import CREATE_GROUP, DELETE_GROUP
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.steps import Next, Parts, Result, forward, raised
from lockstep.worker.tasks.shell import run_steps
from lockstep.worker.workflow import publish_conclude


@shared_task(bind=True, name=CREATE_GROUP)
def create_group(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
    """Create the group on the hosts; return what came of it. Never raises for what a host does."""
    return _apply(self, operation, group, Action.CREATE, hosts)


@shared_task(bind=True, name=DELETE_GROUP)
def delete_group(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
    """Delete the group on the hosts; return what came of it. Never raises for what a host does."""
    return _apply(self, operation, group, Action.DELETE, hosts)


def _apply(
    task: Task[..., str], operation: OperationId, group: GroupId, action: Action, hosts: tuple[HostName, ...]
) -> str:
    first = threading.Lock()

    def step(parts: Parts, host: HostName, tries: int) -> Result:
        return told(forward(parts, operation, group, action, host, tries))

    def told(result: Result) -> Result:
        if result.next is Next.FAILED and first.acquire(blocking=False):
            # Fail fast: the chord's own callback waits for the slowest header.
            publish_conclude(task.app, operation, group)
        return result

    def broken(parts: Parts, host: HostName, reason: str) -> Result:
        return told(raised(parts, operation, action, host, reason))

    return run_steps(task, operation, group, hosts, step, broken)
