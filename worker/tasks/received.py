"""A message as a worker receives it: refused, believed where the record agrees, or left to a newer worker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]
from celery import Task
from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker.request import Request
from celery.worker.state import task_ready
from kombu.transport.virtual import QoS

from lockstep.worker.broker.consumer import Left
from lockstep.worker.celery import WAIT, Lockstep, TaskName
from lockstep.worker.messages import TASKS_OF
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.model import GroupId, HostName, OperationId
from lockstep.worker.operation.names import is_plain_name, is_subject
from lockstep.worker.operation.transitions import Order, Phase
from lockstep.worker.tasks.runtime import Runtime

CLOCKS_APART = 5.0
"""Seconds by which the clock of a worker of an earlier release may be off: it sent an `eta` alone."""
MOST_NAMES = 10_000
"""In one message: an operation, its group, and its hosts."""
TRIES = 1_000_000_000
NAMES = {
    TaskName.SWEEP: (0, 0),
    TaskName.PATROL: (0, 0),
    TaskName.PATROL_GROUP: (1, 1),
    TaskName.CONCLUDE: (2, 2),
}
"""Fewest and most names that a task takes; any other takes an operation, a group and hosts."""
TEXT, NOTHING = (str, type(None)), (type(None),)
HEADERS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "argsrepr", "kwargsrepr"), (str,)),
    **dict.fromkeys(("root_id", "parent_id", "group", "origin"), TEXT),
    "group_index": (int, type(None)),
    "wave": TEXT,
    "retries": (int,),
    "shadow": NOTHING,
}
"""What Celery goes by without a look at what it is."""
LONGEST_TEXT = 10_000

DROPPED = "dropped: no record says so"
ACTION_OF = {
    task: action for phase in (Phase.FORWARD, Phase.ROLLBACK) for action, task in TASKS_OF[phase].items()
}


logger = get_logger(__name__)  # a request is judged outside of its task


class LeftToNewer(Left):
    """This worker has done nothing with the message, which a newer one understands."""

    to = "a newer worker"


class PatientRequest(Request):
    """A request that can be one of ours, and whose message can be left.

    It has no times by its sender's clock: `eta` is made anew from `wait`, and nothing expires. Raises
    InvalidTaskError, whose text tells nothing of the message's content.

    Of one that is left it looks to the broker as if its worker had died: after the visibility timeout any
    worker gets it again. A retry would acknowledge it and send another, lost if the worker dies in between;
    rejected, it would come straight back, and back again.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        headers = options.get("headers") or message.headers
        payload = options["body"] if options.get("decoded") else message.payload
        trouble = unlike_ours(headers, payload)
        if trouble is not None:
            raise InvalidTaskError(trouble)
        try:
            super().__init__(message, **options)
        except InvalidTaskError:
            raise InvalidTaskError("its eta or expires is no time") from None  # Celery's text quotes it
        wait = self._wait()
        now = datetime.now(UTC)
        # The timer counts on a monotonic clock, and takes the wall clock's time of this very moment from it.
        self._eta = now + timedelta(seconds=wait) if wait > 0 else None
        self._expires = None
        self.time_limits = (None, None)
        self.request_dict.update(eta=self._eta and self._eta.isoformat(), expires=None, timelimit=None)

    def _wait(self) -> float:
        """Return the seconds to wait; a message that waits is held in memory, so it may not wait for ever."""
        longest = cast(Lockstep, self.app).settings.backoff_cap
        wait = self.request_dict.get(WAIT)
        if wait is None:
            wait = (self.eta - datetime.now(UTC)).total_seconds() if self.eta else 0.0
            longest += CLOCKS_APART
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not math.isfinite(wait):
            raise InvalidTaskError(f"its {WAIT} is no number")
        if wait > longest:
            raise InvalidTaskError("it is to wait for longer than any countdown")
        return wait

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Leave the message alone if nobody knows what became of its task, or the task said so."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):  # from a child process
            error = error.exc
        if not isinstance(error, Left):
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        task_ready(self)
        if self.acknowledged:
            return None
        logger.warning("%s[%s] is left to %s: %s", self.name, self.id, error.to, error)
        self.acknowledged = True  # for Celery, which would have it back in the queue when it stops
        self.send_event("task-rejected", requeue=True)
        # Frees the place that the message takes of the worker's prefetch; Redis is told nothing.
        channel = self.message.channel
        QoS.ack(channel.qos, self.message.delivery_tag)
        return None


def unlike_ours(headers: Mapping[str, Any], payload: Any) -> str | None:
    """Say why nothing of ours can have sent such a message."""
    for name, types in HEADERS.items():
        value = headers.get(name)
        if not isinstance(value, types) or isinstance(value, bool):
            return f"its {name} is no {types[0].__name__}" if types is not NOTHING else f"it has a {name}"
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            return f"its {name} is too long"
    if not is_plain_name(headers["id"]):  # it stands in lines of the log
        return "its id is no name"
    if not 0 <= headers["retries"] <= TRIES:
        return "its retries are no count"
    if any(headers.get("timelimit") or ()):
        return "it has a time limit"
    if any(
        headers.get(name) for name in ("stamps", "stamped_headers", "replaced_task_nesting", "chain", "chord")
    ):
        return "it is part of a workflow that is not ours"
    match payload:
        case [[*names], dict(keywords), dict(embedded)] if not keywords:
            return _embedded(embedded) or _names(str(headers["task"]), names)
    return "its arguments are none"


def _embedded(embedded: Mapping[str, Any]) -> str | None:
    if any(value for name, value in embedded.items() if name != "chord"):
        return "it is part of a workflow that is not ours"
    match embedded.get("chord"):
        case None:
            return None
        case {"task": task, "args": [str(), str()], "options": dict()} if task == TaskName.CONCLUDE:
            return None
    return "its callback is not ours"


def _names(task: str, names: list[Any]) -> str | None:
    fewest, most = NAMES.get(task, (3, MOST_NAMES))
    if not fewest <= len(names) <= most:
        return f"it has {len(names)} arguments"
    if not all(isinstance(name, str) and is_subject(name) for name in names):
        return "an argument is no name"
    return None


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
    )
