"""What every task does around its steps: retries, stopping, and a Redis that is away."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from celery import Task
from celery.exceptions import Ignore, Reject
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError
from structlog.contextvars import bound_contextvars

from lockstep.worker.celery import CREATE_GROUP, DELETE_GROUP, ROLLBACK_CREATE, ROLLBACK_DELETE
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.heartbeat import work
from lockstep.worker.operation.errors import RecordDamaged, StoreFull, StoreUnavailable, UnknownFormat
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.ports import Stopping
from lockstep.worker.operation.story import story
from lockstep.worker.operation.transitions import Order
from lockstep.worker.record.queries import UNREADABLE
from lockstep.worker.steps import Next, Parts, Result
from lockstep.worker.tasks.received import LeftToNewer
from lockstep.worker.tasks.runtime import Runtime, rest, runtime_of
from lockstep.worker.tasks.slices import Results, side_by_side, summary

T = TypeVar("T")
REQUEUE = 2.0
"""Seconds that a task which could not reach the record waits, on average, before its message goes back."""
logger = get_task_logger(__name__)
DROPPED = "dropped: no record says so"
ACTION_OF = {
    CREATE_GROUP: Action.CREATE,
    DELETE_GROUP: Action.DELETE,
    ROLLBACK_CREATE: Action.CREATE,
    ROLLBACK_DELETE: Action.DELETE,
}
MESSAGE_GOES_BACK = (Stopping, StoreUnavailable, StoreFull, OperationalError)
"""Nothing can be done or recorded just now: the message goes back to its queue."""
TOGETHER = 2.0
"""Seconds: of hosts whose waits end so soon after each other all wait for the last."""


def run_steps(
    task: Task[..., str],
    operation: OperationId,
    group: GroupId,
    named: Sequence[HostName],
    step: Callable[[Parts, HostName, int], Result],
    raised: Callable[[Parts, HostName, str], Result],
) -> str:
    """Run the step for each host; retry the task through Celery for those that say so, and requeue it when
    it could not run. Return what they came to.

    What a step raises unexpectedly is its host's alone: `raised` records it, and the others go on.

    Raises Celery's Retry and Reject, which are no failures: a chord does not count the task yet.
    """
    tries = task.request.retries + 1

    def run(runtime: Runtime) -> tuple[Results, dict[HostName, float]]:
        settings, parts = runtime.settings, runtime.parts
        hosts = believed(task, runtime, operation, group, named)
        if not hosts:
            return {}, {}
        with bound_contextvars(operation=operation, group=group, task=task.name, task_id=task.request.id):
            results = side_by_side(
                hosts,
                lambda host: _caught(task, parts, host, lambda: step(parts, host, tries), raised),
                parts.clock,
                settings.call_timeout,
                settings.slice_threads,
            )
            aborted = [host for host, each in results.items() if each.next is Next.ABORTED]
            if aborted and runtime.store.operation(operation) is None:
                record_gone(task, runtime, operation, group, aborted)
        again = keep_longer_waits(parts, operation, results)
        if len(results) == 1 and not again:
            ((host, only),) = results.items()
            results = {host: with_story(parts, operation, host, only)}
        return results, again

    results, again = guarded(task, run)
    for result in results.values():
        if result.next not in (Next.AGAIN, Next.LATER):
            metrics.step_done(task.name, result.outcome or result.next)
    if again:
        try:
            with work.going_on(f"sending {task.name} again"):
                raise task.retry(args=(operation, group, *again), countdown=max(again.values()))
        except Reject as error:  # Celery could not publish it, and would have the message dropped
            raise _put_back("the next try could not be published") from error
    return summary(results) or DROPPED


def believed(
    task: Task[..., str],
    runtime: Runtime,
    operation: OperationId,
    group: GroupId,
    named: Sequence[HostName] = (),
) -> list[HostName]:
    """Return the hosts of a message, each once, that the record has too; none if it is about something else.

    A message is a hint: it names an operation and hosts, and everything else is looked up before the first
    byte goes to a host.
    """
    hosts = list(dict.fromkeys(named))

    def true(order: Order) -> list[HostName]:
        agrees = order.group == group and ACTION_OF.get(task.name, order.action) is order.action
        return [host for host in hosts if agrees and host in order.hosts]

    order = runtime.orders.of(operation, lambda each: len(true(each)) == len(hosts))
    if order is None:
        record_gone(task, runtime, operation, group, hosts)
        return []
    known = true(order)
    if len(known) < len(hosts):
        not_believed(task, operation)
    return known


def not_believed(task: Task[..., str], operation: OperationId) -> str:
    """Count and tell that a message, or a part of it, is dropped; return it in a few words."""
    metrics.message_dropped()
    logger.warning("%s is dropped: the record of operation %s says otherwise", task.name, operation)
    return DROPPED


DONE_FOR = 3
"""Periods for which it is known that a periodic piece of work was done."""
log = logging.getLogger(__name__)


def periodic(runtime: Runtime, name: str, every: float, run: Callable[[], str]) -> str:
    """Run a periodic piece of work; what keeps it from being done is logged, counted and kept in the record.

    `every` is its period in seconds. `run` says why it was put off by raising.
    """
    try:
        with work.going_on(f"the {name}"):
            said = run()
        runtime.store.note_done(name, round(DONE_FOR * every * 1000))
    except (StoreUnavailable, StoreFull, RecordDamaged, OperationalError, OSError) as error:
        why = " ".join(str(error).split())
        log.error("the %s was not done: %s", name, why)
        metrics.failed(name)
        with suppress(StoreUnavailable, StoreFull, RecordDamaged):
            runtime.store.note_failed(name, why)
        return f"put off: {why}"
    return said


def _caught(
    task: Task[..., str],
    parts: Parts,
    host: HostName,
    run: Callable[[], Result],
    raised: Callable[[Parts, HostName, str], Result],
) -> Result:
    try:
        return run()
    except (*MESSAGE_GOES_BACK, UnknownFormat):
        raise
    except RecordDamaged as error:
        logger.warning("host %s is left as it is, for its step cannot be read: %s", host, error)
        return Result(Next.ABORTED, f"its record cannot be read: {error}")
    except Exception as error:
        metrics.step_raised(task.name)
        logger.exception("a step raised an error that it must not raise, for host %s", host)
        # Its text stays in the log: it may hold anything.
        return raised(parts, host, f"the step failed with {type(error).__name__}: see the worker's log")


def guarded(task: Task[..., str], run: Callable[[Runtime], T]) -> T:
    """Run with this process's runtime; the message goes back to its queue when the record is out of reach."""
    try:
        with work.going_on(task.name):
            return run(runtime_of(task.app))
    except Stopping as error:
        raise Reject("the worker is being stopped", requeue=True) from error
    except (StoreUnavailable, StoreFull, OperationalError) as error:
        metrics.redis_failed()
        raise _put_back(str(error)) from error
    except UnknownFormat as error:
        raise LeftToNewer(str(error)) from error
    except UNREADABLE as error:
        logger.warning("%s is dropped: what it is about cannot be read: %s", task.name, error)
        raise Ignore from error  # nobody can do it; the sweep names the record, and comes back to it


def _put_back(why: str) -> Reject:
    """Wait, then have the message back in its queue: it comes again at once, while Redis is as it is."""
    rest(random.uniform(0.5, 1.5) * REQUEUE)
    return Reject(why, requeue=True)


def with_story(parts: Parts, operation: OperationId, host: HostName, result: Result) -> Result:
    """Return what a step came to with what happened to its host, which is what people are shown."""
    if result.story is not None or result.next is Next.LATER:
        return result
    try:
        view = parts.store.view(operation, host)
    except StoreUnavailable:
        return result  # it is done all the same
    if view.step is None or view.action is None:
        return result
    told = story(view.action, view.step, view.decided_at).text
    return replace(result, story=f"{result.text}; {told}" if result.next is Next.FAILED else told)


def record_gone(
    task: Task[..., str],
    runtime: Runtime,
    operation: OperationId,
    group: GroupId,
    hosts: Sequence[HostName] = (),
) -> None:
    """Count and tell that a message has no record: nothing says what to do, so nothing was written.

    One that comes late, about an operation that ended long ago, is in order.
    """
    if runtime.store.note_lost(operation, group) is None:
        logger.info(
            "%s comes late: the record of operation %s was dropped after its end", task.name, operation
        )
        return
    metrics.record_gone()
    logger.warning(
        "%s is dropped: operation %s on group %s has no record; its hosts may have been changed (%s): "
        "see `lockstep drift %s`",
        task.name,
        operation,
        group,
        ", ".join(hosts) or "this message names none",
        operation,
    )


def keep_longer_waits(parts: Parts, operation: OperationId, results: Results) -> dict[HostName, float]:
    """Return the hosts to come back to, with their delays in seconds.

    Those that wait for much longer than the others are left to the record and the sweep.
    """
    again = {host: each.delay for host, each in results.items() if each.next is Next.AGAIN}
    soonest = min(again.values(), default=0.0)
    for host, delay in list(again.items()):
        if delay > soonest + TOGETHER:
            parts.store.postpone(operation, host, round(delay * 1000))
            del again[host]
    return again
