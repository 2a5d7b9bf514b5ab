"""The tasks: thin Celery shells around the steps, in the order of an operation's life."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from celery import Task, shared_task
from celery.utils.log import get_task_logger
from celery.worker.control import control_command, inspect_command

from lockstep.worker.celery import ABOUT, TaskName
from lockstep.worker.celery.messages import publish, publish_next, publish_patrol
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.flower import CLOCK
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State, Status
from lockstep.worker.operation.names import counted
from lockstep.worker.operation.store import Store
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.operation.waves import told_rollout
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import NO_RECORD, forward, raised
from lockstep.worker.steps.looks import PatrolResult, PatrolTimes, gate
from lockstep.worker.steps.looks import patrol as patrol_step
from lockstep.worker.steps.rollback import raised_later, rollback
from lockstep.worker.steps.rollback import settle as settle_step
from lockstep.worker.tasks.run import (
    Raised,
    StepFunction,
    guarded,
    not_believed,
    record_gone,
    run_steps,
    runtime_here,
)
from lockstep.worker.tasks.runtime import Runtime
from lockstep.worker.tasks.sweep import MS_PER_DAY, not_done, periodic

FLOWER = re.compile(r"flower@[A-Za-z0-9._-]{1,128}")
MOST_CLOCKS, MOST_AHEAD = 10, 10**13
"""Bounds on the clocks, and their milliseconds, that a worker keeps: anybody who may ask it can send some."""


@inspect_command(name=ABOUT)
def about(state: Any) -> dict[str, object]:
    """Return the versions of what runs here, and the ids of its seal keys."""
    return {
        "lockstep": version("lockstep"),
        "celery": version("celery"),
        "python": platform.python_version(),
        "seals": SealKeys(state.app.settings.seal_key_file).told(),
        "now": round(time.time() * 1000),  # for a doctor of an earlier release
    }


@control_command(name=CLOCK)
def clock(state: Any, process: object = None, ahead: object = None, **_: object) -> None:
    """Note that the clock of a Flower is wrong: what it logs in to Redis with may write nothing."""
    clocks: dict[str, int] = state.app.clocks
    match process, ahead:
        case str(name), int(by) if FLOWER.fullmatch(name) and abs(by) < MOST_AHEAD:
            if len(clocks) < MOST_CLOCKS:
                clocks[name] = by


def _applying(name: str, action: Action) -> Any:
    """Return the task that brings hosts to what an action asks for; it never raises for what a host does."""

    @shared_task(bind=True, name=name)
    def run(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
        return run_steps(
            self,
            operation,
            group,
            hosts,
            lambda context, operation, host, tries: forward(context, operation, group, action, host, tries),
            lambda context, operation, host, reason: raised(context, operation, action, host, reason),
        )

    return run


def _running(name: str, step: StepFunction, broken: Raised) -> Any:
    """Return the task that runs a step for each host of its message, and returns what they came to."""

    @shared_task(bind=True, name=name)
    def run(self: Task[..., str], operation: OperationId, group: GroupId, *hosts: HostName) -> str:
        return run_steps(self, operation, group, hosts, step, broken)

    return run


create_group = _applying(TaskName.CREATE_GROUP, Action.CREATE)
delete_group = _applying(TaskName.DELETE_GROUP, Action.DELETE)
look_at_gate = _running(TaskName.GATE, gate, partial(raised_later, counted=False))
rollback_create = _running(TaskName.ROLLBACK_CREATE, rollback, raised_later)
rollback_delete = _running(TaskName.ROLLBACK_DELETE, rollback, raised_later)
settle = _running(TaskName.SETTLE, settle_step, raised_later)


@shared_task(bind=True, name=TaskName.CONCLUDE)
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
        metrics.operation_seen(kept, runtime.store.first)
        return _summary(kept)

    return guarded(self, run)


def _summary(operation: Status) -> str:
    if operation.state is State.APPLYING:
        waves = f"{told_rollout(operation.rollout)}; " if operation.rollout else ""
        return f"applying: {waves}{operation.hosts_done} of {operation.hosts_total} hosts done"
    if operation.reason is None:
        return operation.state.value
    return f"{operation.state.value.replace('_', ' ')}: {operation.reason}"


LONGEST_BETWEEN = 3_600_000
"""Milliseconds between two looks at one group, at most."""
logger = get_task_logger(__name__)


@shared_task(bind=True, name=TaskName.PATROL, send_events=False)
def patrol(self: Task[..., str]) -> str:
    """Publish one look per group that is due; never speaks HTTP itself."""
    runtime = runtime_here(self)
    every = runtime.settings.patrol_every

    def run() -> str:
        forget_deleted(runtime.store, runtime.settings)
        groups = runtime.store.patrol_due(runtime.settings.patrol_batch)
        publish_patrol(self.app, groups)
        return f"{len(groups)} groups"

    return periodic(runtime, "patrol", every, round(every * 500), run)


def forget_deleted(store: Store, settings: Settings) -> int:
    """Forget some of the groups that were deleted everywhere longer ago than is set; return how many."""
    return store.forget_deleted(round(settings.deleted_days * MS_PER_DAY))


@shared_task(bind=True, name=TaskName.PATROL_GROUP)
def patrol_group(self: Task[..., str], group: GroupId) -> str:
    """Compare one group's hosts with the record; repair what a late write explains, report the rest."""

    def run(runtime: Runtime) -> str:
        came = patrol_step(runtime.context, group, beat_of(runtime.settings))
        if came.asked and not came.answered:
            not_done(runtime, "patrol", f"none of {counted(came.asked)} answered about group {group}")
        for repair in came.repairs:
            hosts = tuple(host.name for host in repair.hosts)
            publish(self.app, repair.id, Claim(Phase.FORWARD, group, repair.action, hosts))
        return _told(came)

    return guarded(self, run)


def beat_of(settings: Settings) -> PatrolTimes:
    """Return the patrol's times in milliseconds."""
    return PatrolTimes(
        every=round(settings.patrol_every * 1000),
        longest=LONGEST_BETWEEN,
        watched=round(settings.patrol_hours * 3_600_000),
        repair=round(settings.repair_minutes * 60_000),
        budget=round(settings.call_timeout * 2000),
        deadline=round(settings.deadline * 1000),
    )


def _told(came: PatrolResult) -> str:
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
    lacking = {
        "gave no answer": came.asked - came.answered,
        "not known to this worker": came.strange,
        "not asked, for the time was over": came.late,
    }
    if came.late:
        logger.warning("the patrol asked %d hosts of a group, and had no time for %d", came.asked, came.late)
    if not came.asked:
        return came.why_not
    if not came.answered:
        del lacking["gave no answer"]
        return f"not known: none of {came.asked} hosts answered{_listed(lacking)}"
    if not came.drifts:
        return f"no drift on {came.answered} hosts{_listed(lacking)}"
    hosts = ", ".join(drift.host for drift in came.drifts)
    return f"drift on {hosts}{_listed(lacking)}; {len(came.repairs)} repairs begun"


def _listed(hosts: Mapping[str, int]) -> str:
    return "".join(f", {number} {what}" for what, number in hosts.items() if number)
