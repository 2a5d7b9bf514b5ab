"""settle: close the attempts of a decided operation on its hosts, once they can no longer land."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from lockstep.worker.celery import SETTLE
from lockstep.worker.operation.model import GroupId, HostName, OperationId
from lockstep.worker.steps import Parts, Result, raised_later
from lockstep.worker.steps import settle as settle_step
from lockstep.worker.tasks.shell import run_steps


@shared_task(bind=True, name=SETTLE)
def settle(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
    """Look at the hosts; return what it came to."""

    def step(parts: Parts, host: HostName, tries: int) -> Result:
        return settle_step(parts, operation, host, tries)

    return run_steps(self, operation, group, hosts, step, partial(raised_later, operation))
