"""patrol and patrol_group: look for drift after writes of unknown fate."""

from __future__ import annotations

from celery import Task, shared_task
from celery.utils.log import get_task_logger

from lockstep.worker.celery import PATROL, PATROL_GROUP
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import GroupId
from lockstep.worker.settings import Settings
from lockstep.worker.steps import Beat, Patrolled
from lockstep.worker.steps import patrol as patrol_step
from lockstep.worker.store.base import Ends
from lockstep.worker.tasks.runtime import Runtime, runtime_of
from lockstep.worker.tasks.shell import guarded, periodic
from lockstep.worker.telemetry import metrics
from lockstep.worker.workflow import publish_forward, publish_patrol

LONGEST_BETWEEN = 3_600_000
"""Milliseconds between two looks at one group, at most."""
MS_PER_DAY = 86_400_000
logger = get_task_logger(__name__)


@shared_task(bind=True, name=PATROL, send_events=False)
def patrol(self: Task[..., str]) -> str:
    """Publish one look per group that is due; never speaks HTTP itself."""
    runtime = runtime_of(self.app)
    every = runtime.settings.patrol_every

    def run() -> str:
        forget_deleted(runtime.store, runtime.settings)
        groups = runtime.store.patrol_due(runtime.settings.patrol_batch)
        publish_patrol(self.app, groups)
        return f"{len(groups)} groups"

    try:
        if not runtime.store.lease("patrol", round(every * 500)):
            return "another patrol is at it"
    except StoreUnavailable as error:
        metrics.failed("patrol")
        return f"put off: {error}"
    return periodic(runtime, "patrol", every, run)


def forget_deleted(store: Ends, settings: Settings) -> int:
    """Forget some of the groups that were deleted everywhere longer ago than is set; return how many."""
    return store.forget_deleted(round(settings.deleted_days * MS_PER_DAY))


@shared_task(bind=True, name=PATROL_GROUP)
def patrol_group(self: Task[..., str], group: GroupId) -> str:
    """Compare one group's hosts with the record; repair what a late write explains, report the rest."""

    def run(runtime: Runtime) -> str:
        came = patrol_step(runtime.parts, runtime.store, group, beat_of(runtime.settings))
        if came.asked and not came.answered:
            logger.error("the patrol got no answer about the group from any of %d hosts", came.asked)
            metrics.failed("patrol look")
        for repair in came.repairs:
            publish_forward(self.app, repair.operation, group, repair.action, repair.hosts)
        return _told(came)

    return guarded(self, run)


def beat_of(settings: Settings) -> Beat:
    """Return the patrol's times in milliseconds."""
    return Beat(
        every=round(settings.patrol_every * 1000),
        longest=LONGEST_BETWEEN,
        watched=round(settings.patrol_hours * 3_600_000),
        repair=round(settings.repair_minutes * 60_000),
        budget=round(settings.call_timeout * 2000),
        deadline=round(settings.deadline * 1000),
    )


def _told(came: Patrolled) -> str:
    for drift in came.new:
        logger.warning(
            "drift: %s is %s on %s, but operation %s left it %s (%s)",
            drift.group,
            drift.found,
            drift.host,
            drift.end.operation,
            drift.end.presence,
            "a late write, being repaired" if drift.explained else "unexplained: see `lockstep drift`",
        )
    if not came.asked:
        return came.why_not
    if not came.answered:
        return f"not known: none of {came.asked} hosts answered"
    if not came.drifts:
        silent = came.asked - came.answered
        return f"no drift on {came.answered} hosts" + (f", {silent} gave no answer" if silent else "")
    hosts = ", ".join(drift.host for drift in came.drifts)
    return f"drift on {hosts}; {len(came.repairs)} repairs begun"
