"""What every task does around its steps: hosts side by side, retries, stopping, and a Redis that is away."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from celery import Task
from celery.exceptions import Ignore, Reject
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError

from lockstep.worker.celery.messages import TASKS_OF
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.metrics import work
from lockstep.worker.operation.answer import StopOrdered
from lockstep.worker.operation.errors import InvalidInput, StoreFull, StoreUnavailable, UnknownFormat
from lockstep.worker.operation.model import GroupId, HostName, OperationId
from lockstep.worker.operation.story import story
from lockstep.worker.operation.transitions import Order, Phase
from lockstep.worker.record.queries import UNREADABLE
from lockstep.worker.steps.apply import Next, StepContext, StepResult
from lockstep.worker.tasks.received import MessageLeftToNewer
from lockstep.worker.tasks.runtime import Runtime, runtime_of, stopping

OnHost = Callable[[HostName], StepResult]
StepResults = Mapping[HostName, StepResult]
NOT_BEGUN = StepResult(Next.AGAIN, "not begun yet")
NOT_NOW = (StopOrdered, StoreUnavailable, StoreFull, UnknownFormat)
"""These are the task's: nothing can be done or recorded just now, or not by this worker."""
TOGETHER = 2.0
"""Seconds: of hosts whose waits end so soon after each other all wait for the last."""


@dataclass(slots=True)
class Slice:
    """The hosts of one task: each has its step, and the first that fails has the operation concluded at once.

    What a step raises unexpectedly is its host's alone: `raised` records it, and the others go on.
    """

    context: StepContext
    operation: OperationId
    step: OnHost
    raised: Callable[[HostName, Exception], StepResult]
    note_decided: Callable[[], object]
    """Note that the operation is decided: writes of it that have not left yet need not leave."""
    conclude: Callable[[], object]
    """Have the operation concluded: the chord's own callback waits for the slowest header."""
    publish: Callable[[OperationId], object]
    """Publish the wave or round that a call of this process has opened, or hosts whose turn has come."""
    side_by_side: Callable[[Sequence[HostName], OnHost, Callable[[], bool]], StepResults]
    """Run a step for each host as long as more may begin; return what came of those that were begun."""
    begin_within: float
    """Seconds in which the steps may begin."""
    failed: bool = False

    def run(self, hosts: Sequence[HostName]) -> tuple[StepResults, dict[HostName, float]]:
        """Return what the steps came to, and the hosts to come back to, with their delays in seconds."""
        if len(hosts) == 1:
            results: StepResults = {hosts[0]: self._on_host(hosts[0])}
        else:
            elapsed = self.context.clock.elapsed
            ends = elapsed() + self.begin_within
            begun = self.side_by_side(hosts, self._on_host, lambda: elapsed() < ends)
            results = {host: begun.get(host, NOT_BEGUN) for host in hosts}
        return results, keep_longer_waits(self.context, self.operation, results)

    def _on_host(self, host: HostName) -> StepResult:
        try:
            result = self.step(host)
        except NOT_NOW:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is
            result = self.raised(host, error)
        if result.next in (Next.FAILED, Next.OVER):
            self.note_decided()
        if result.next is Next.FAILED and not self.failed:
            self.failed = True
            self.conclude()
        for operation in self.context.store.called():
            self.publish(operation)
        return result


def keep_longer_waits(
    context: StepContext, operation: OperationId, results: StepResults
) -> dict[HostName, float]:
    """Return the hosts to come back to, with their delays in seconds.

    Each step has decided that for its host alone (`Try.wait`), and one message has one countdown: those that
    wait for much longer than the others are left to the record and the sweep. A message with a longer wait
    than the longest countdown would be dropped, as none of ours.
    """
    most = context.longest_countdown
    again = {host: min(each.delay, most) for host, each in results.items() if each.next is Next.AGAIN}
    soonest = min(again.values(), default=0.0)
    for host, delay in list(again.items()):
        if delay > soonest + TOGETHER:
            context.store.postpone(operation, host, round(delay * 1000))
            del again[host]
    return again


Wait = Callable[[float], object]
"""Waits for so many seconds; simulated tasks have their own."""
KINDS_SHOWN = 3
DROPPED = "dropped: no record says so"
ACTION_OF = {
    task: action for phase in (Phase.FORWARD, Phase.ROLLBACK) for action, task in TASKS_OF[phase].items()
}


def rest(seconds: float) -> None:
    """Wait for `seconds`, or until the worker is told to stop."""
    ends = time.monotonic() + seconds
    while not stopping() and (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def summary(results: StepResults) -> str:
    if len(results) == 1:
        (only,) = results.values()
        return only.story or only.text
    kinds = Counter(result.text for result in results.values()).most_common()
    told = [f"{text}: {count}" for text, count in kinds[:KINDS_SHOWN]]
    others = sum(count for _, count in kinds[KINDS_SHOWN:])
    return " · ".join([*told, *([f"other: {others}"] if others else [])])


T = TypeVar("T")
REQUEUE = 2.0
"""Seconds that a task which could not reach the record waits, on average, before its message goes back."""
AWAY = (StoreUnavailable, StoreFull, OperationalError)
logger = get_task_logger(__name__)


def runtime_here(task: Task[..., str]) -> Runtime:
    """Return this process's runtime. One that is new and cannot read the inventory gives its message back."""
    try:
        return runtime_of(task.app)
    except InvalidInput as error:
        logger.error("%s goes to another process: %s", task.name, error)
        raise _put_back(str(error)) from error


def guarded(task: Task[..., str], run: Callable[[Runtime], T], wait: Wait | None = None) -> T:
    """Run with this process's runtime; the message goes back to its queue when the record is out of reach."""
    try:
        with work.going_on(task.name):
            return run(runtime_here(task))
    except StopOrdered as error:
        raise Reject("the worker is being stopped", requeue=True) from error
    except AWAY as error:
        metrics.count("redis_errors")
        raise _put_back(str(error), wait) from error
    except UnknownFormat as error:
        raise MessageLeftToNewer(str(error)) from error
    except UNREADABLE as error:
        logger.warning("%s is dropped: what it is about cannot be read: %s", task.name, error)
        raise Ignore from error  # nobody can do it; the sweep names the record, and comes back to it


def try_again(
    task: Task[..., str], about: Sequence[str], again: Mapping[HostName, float], wait: Wait | None = None
) -> NoReturn:
    """Have the task come back to these hosts, once the longest of their delays is over."""
    try:
        with work.going_on(f"sending {task.name} again"):
            raise task.retry(args=(*about, *again), countdown=max(again.values()))
    except Reject as error:  # Celery could not publish it, and would have the message dropped
        raise _put_back("the next try could not be published", wait) from error


def _put_back(why: str, wait: Wait | None = None) -> Reject:
    """Wait, then have the message back in its queue: it comes again at once, while Redis is as it is."""
    (wait or rest)(random.uniform(0.5, 1.5) * REQUEUE)
    return Reject(why, requeue=True)


def with_story(context: StepContext, operation: OperationId, host: HostName, came: StepResult) -> StepResult:
    """Return what a step came to with what happened to its host, which is what people are shown."""
    if came.story is not None or came.next is Next.LATER:
        return came
    try:
        view = context.store.view(operation, host)
    except StoreUnavailable:
        return came  # it is done all the same
    if view.step is None or view.action is None:
        return came
    told = story(view.action, view.step, view.decided_at).text
    return replace(came, story=f"{came.text}; {told}" if came.next is Next.FAILED else told)


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
    metrics.count("messages_dropped")
    logger.warning("%s is dropped: the record of operation %s says otherwise", task.name, operation)
    return DROPPED


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
    metrics.count("messages_without_record")
    logger.warning(
        "%s is dropped: operation %s on group %s has no record; its hosts may have been changed (%s): "
        "see `lockstep drift %s`",
        task.name,
        operation,
        group,
        ", ".join(hosts) or "this message names none",
        operation,
        extra={"about": (operation, *hosts)},  # each is told, however many are gone
    )
