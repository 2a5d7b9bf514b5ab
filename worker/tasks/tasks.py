"""The tasks: thin Celery shells around the steps, in the order of an operation's life."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Semaphore
from typing import Any

from celery import Celery, Task, shared_task
from celery.utils.log import get_task_logger

from lockstep.worker.celery import TaskName
from lockstep.worker.celery.messages import publish, publish_conclude, publish_next, publish_patrol
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.metrics import log_ids, work
from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State, Status
from lockstep.worker.operation.names import counted
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.operation.waves import told_rollout
from lockstep.worker.process.greenlets import side_by_side
from lockstep.worker.record.queries import UNREADABLE
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import NO_RECORD, Next, StepContext, StepResult, forward, raised
from lockstep.worker.steps.looks import PatrolResult, PatrolTimes, gate
from lockstep.worker.steps.looks import patrol as patrol_step
from lockstep.worker.steps.rollback import raised_later, rollback
from lockstep.worker.steps.rollback import settle as settle_step
from lockstep.worker.tasks.run import (
    AWAY,
    DROPPED,
    NOT_NOW,
    OnHost,
    Slice,
    StepResults,
    believed,
    guarded,
    not_believed,
    record_gone,
    runtime_here,
    summary,
    try_again,
    with_story,
)
from lockstep.worker.tasks.runtime import Runtime
from lockstep.worker.tasks.sweep import MS_PER_DAY, not_done, periodic

logger = get_task_logger(__name__)
StepFunction = Callable[[StepContext, OperationId, HostName, int], StepResult]
"""The last is how often this task has been run for it, from 1."""
Raised = Callable[[StepContext, OperationId, HostName, str], StepResult]
"""Records what a step raised, which the text says."""


def run_steps(
    task: Task[..., str],
    operation: OperationId,
    group: GroupId,
    named: Sequence[HostName],
    step: StepFunction,
    raised: Raised,
) -> str:
    """Run the step for each host that the message names; return what they came to, in a few words.

    Raises Celery's Retry for those that are to be tried again, and what `guarded` raises: no failures, for a
    chord does not count the task yet.
    """
    tries = task.request.retries + 1

    def run(runtime: Runtime) -> tuple[StepResults, dict[HostName, float]]:
        hosts = believed(task, runtime, operation, group, named)
        if not hosts:
            return {}, {}
        context = runtime.context
        those = Slice(
            context,
            operation,
            step=lambda host: step(context, operation, host, tries),
            raised=lambda host, error: _broken(
                task, host, error, lambda why: raised(context, operation, host, why)
            ),
            note_decided=lambda: runtime.orders.note_decided(operation),
            conclude=lambda: publish_conclude(task.app, operation, group),
            publish=lambda opened: _publish_due(task.app, runtime, opened),
            side_by_side=partial(_by_turns, runtime.places),
            begin_within=runtime.settings.call_timeout,
        )
        with log_ids(operation=operation, group=group, task=task.name, task_id=task.request.id):
            results, again = those.run(hosts)
            over = [host for host, each in results.items() if each.next is Next.OVER]
            if over and not runtime.store.exists(operation):
                record_gone(task, runtime, operation, group, over)
        if len(results) == 1 and not again:
            results = {host: with_story(context, operation, host, only) for host, only in results.items()}
        return results, again

    results, again = guarded(task, run)
    for result in results.values():
        if result.next not in (Next.AGAIN, Next.LATER):
            metrics.count("steps", task.name.removeprefix("lockstep."), result.outcome or result.next)
    if again:
        try_again(task, (operation, group), again)
    return summary(results) or DROPPED


def _by_turns(
    places: Semaphore, hosts: Sequence[HostName], step: OnHost, may_begin: Callable[[], bool]
) -> StepResults:
    def named(host: HostName) -> StepResult:
        with log_ids(host=host), work.going_on(f"a step on {host}"):
            return step(host)

    return side_by_side(hosts, named, may_begin, places)


def _broken(
    task: Task[..., str], host: HostName, error: Exception, record: Callable[[str], StepResult]
) -> StepResult:
    """Return what becomes of a host whose step raised what it must not raise."""
    if isinstance(error, RecordDamaged):
        logger.warning("host %s is left as it is, for its step cannot be read: %s", host, error)
        return StepResult(Next.OVER, f"its record cannot be read: {error}")
    metrics.count("steps_raised", task.name.removeprefix("lockstep."))
    logger.error("a step raised an error that it must not raise, for host %s", host, exc_info=error)
    # Its text stays in the log: it may hold anything.
    return record(f"the step failed with {type(error).__name__}: see the worker's log")


def _publish_due(app: Celery, runtime: Runtime, operation: OperationId) -> None:
    """Publish what comes next, unless something is in the way.

    What is not claimed here is left to the chord's callback; what is claimed and not published, to the sweep.
    """
    with suppress(*AWAY, UnknownFormat, *UNREADABLE):
        publish_next(app, runtime.store, operation, resume=True)


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


def forget_deleted(store: RedisStore, settings: Settings) -> int:
    """Forget some of the groups that were deleted everywhere longer ago than is set; return how many."""
    return store.forget_deleted(round(settings.deleted_days * MS_PER_DAY))


@shared_task(bind=True, name=TaskName.PATROL_GROUP)
def patrol_group(self: Task[..., str], group: GroupId) -> str:
    """Compare one group's hosts with the record; repair what a late write explains, report the rest."""

    def run(runtime: Runtime) -> str:
        try:
            came = patrol_step(runtime.context, group, beat_of(runtime.settings))
        except (*NOT_NOW, *UNREADABLE):
            raise
        except Exception as error:
            not_done(runtime, "patrol", f"the look at group {group} failed with {type(error).__name__}")
            raise
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
        longest=3_600_000,
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
