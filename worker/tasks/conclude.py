"""conclude: the chord callback. It goes by the record, never by the chord's arguments."""

from __future__ import annotations

from celery import Task, shared_task

from lockstep.worker.celery import CONCLUDE
from lockstep.worker.operation.model import Decision, GroupId, Operation, OperationId
from lockstep.worker.operation.states import State
from lockstep.worker.steps.parts import NO_RECORD
from lockstep.worker.tasks.runtime import Runtime
from lockstep.worker.tasks.shell import guarded, not_believed, record_gone
from lockstep.worker.telemetry import metrics
from lockstep.worker.workflow import publish_next


@shared_task(bind=True, name=CONCLUDE)
def conclude(self: Task[..., str], operation: OperationId, group: GroupId) -> str:
    """Check what the hosts came to, dispatch the rollback chord if need be; return where it stands."""

    def run(runtime: Runtime) -> str:
        order = runtime.orders.of(operation, lambda each: each.group == group)
        if order is not None and order.group != group:
            return not_believed(self, operation)
        publish_next(self.app, runtime.store, operation)
        kept = runtime.store.operation(operation)
        if kept is None:
            record_gone(self, runtime, operation, group)
            return NO_RECORD
        if kept.decision is Decision.ROLL_BACK:
            metrics.rollback_begun(kept, lambda key: runtime.store.first(key, "undone"))
        if kept.ended or kept.state is State.COMMITTED:
            metrics.operation_ended(kept, lambda key: runtime.store.first(key, "counted"))
        return _summary(kept)

    return guarded(self, run)


def _summary(operation: Operation) -> str:
    if operation.state is State.APPLYING:
        return f"applying: {operation.hosts_done} of {operation.hosts_total} hosts done"
    if operation.reason is None:
        return operation.state.value
    return f"{operation.state.value.replace('_', ' ')}: {operation.reason}"
