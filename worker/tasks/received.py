"""How a worker receives messages: what nothing of ours can have sent is dropped, some are left to others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]
from celery.bootsteps import RUN  # type: ignore[attr-defined]
from celery.concurrency import thread as pools
from celery.exceptions import Ignore, InvalidTaskError
from celery.utils.log import get_logger
from celery.worker import consumer as celery
from celery.worker.request import Request
from celery.worker.state import maybe_shutdown, task_ready

from lockstep.worker.celery import WAIT, Lockstep, TaskName
from lockstep.worker.celery.broker.links import POISON, dropped
from lockstep.worker.operation.names import is_plain_name, is_subject

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
EVENTS_WITHIN = 0.1
"""Seconds for which events of tasks are gathered. Celery sends them with every turn of its event loop, which
waits for Redis each time: in per-host tasks, 40 % of the loop's time."""
LONGEST_PAUSE = 4.0
"""Seconds before a worker connects again; a connection that has lasted longer was a good one."""
logger = get_logger(__name__)  # a request is judged outside of its task


class Consumer(celery.Consumer):
    """Gathers events for a moment; whatever is left is sent when the worker stops.

    A message that can be no task's is dropped. Celery would end for many, and so would each worker after it.
    """

    blueprint: Any
    hub: Any
    _due = 0.0
    _tried = -math.inf
    """When it connected last, by `time.monotonic`."""
    _pause = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Leave out what workers tell each other: a forged election would have this one publish any task, a
        forged greeting would have it drop tasks as revoked, and a start without them is 2 s quicker.
        """
        super().__init__(*arguments, **{**options, "without_gossip": True, "without_mingle": True})

    def connect(self) -> Any:
        """Connect, a second later with each connection that did not last.

        Redis lets in whom it then refuses what is asked first: it is full, lacks replicas, or the user may
        not. Celery would try it again at once, over and over.
        """
        lasted = time.monotonic() - self._tried > LONGEST_PAUSE
        self._pause = 0.0 if lasted else min(self._pause + 1.0, LONGEST_PAUSE)
        until = time.monotonic() + self._pause
        while time.monotonic() < until:
            maybe_shutdown()
            time.sleep(0.1)
        self._tried = time.monotonic()
        return super().connect()

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        logger.error("No tasks are taken until Redis serves: %s", exc)

    def on_send_event_buffered(self) -> None:
        """Have the events sent soon; called by any thread for each of them."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + EVENTS_WITHIN
            self.hub.call_soon(self._send_events)  # timers belong to the loop's own thread

    def _send_events(self) -> None:
        if self.blueprint.state == RUN:
            self.hub.call_later(EVENTS_WITHIN, self._flush_events)
        else:
            self._flush_events()

    def on_close(self) -> None:
        """Send what is left, or keep it for the next connection: the timer is lost with this one."""
        self._flush_events()
        super().on_close()

    def shutdown(self) -> None:
        """Send what the last tasks left, and end."""
        self._flush_events()
        super().shutdown()

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*arguments, **options)

        def take(message: Any) -> None:
            try:
                handle(message)
            except self.connection_errors:
                raise
            except POISON as error:
                self._drop(message, type(error).__name__)

        return take

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._drop(message, "it is no task's")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, "there is no such task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, str(exc) if type(exc) is InvalidTaskError else type(exc).__name__)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._drop(message, f"its body cannot be read, {type(exc).__name__}")

    def _drop(self, message: Any, why: str) -> None:
        dropped(why, len(message.body or ""))
        message.reject_log_error(logger, self.connection_errors)


class MessageLeft(Ignore):
    """What became of a message's task is not known here, and the broker is told nothing about it."""

    to = "another worker"


class Threads(pools.TaskPool):
    """Celery's pool of threads, which tells what Celery itself raised around a task.

    Celery's own drops that (a file that cannot be opened is enough), and nobody decides about the message. It
    keeps a place among those that this worker may hold, and once all are taken the worker stands still.
    """

    __module__ = pools.__name__  # the banner of a worker shows its last part

    def on_apply(self, *arguments: Any, error_callback: Callable[[Any], object], **options: Any) -> Any:
        """Run a task; whatever came out of its thread leaves its message to another worker."""
        result = super().on_apply(*arguments, **options)

        def ended(future: Any) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                left = MessageLeft(f"Celery raised {error!r}")
                left.__cause__ = error
                error_callback(ExceptionInfo((MessageLeft, left, error.__traceback__)))

        result.f.add_done_callback(ended)
        return result


class MessageLeftToNewer(MessageLeft):
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
        if not isinstance(error, MessageLeft):
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        task_ready(self)
        if self.acknowledged:
            return None
        logger.warning("%s[%s] is left to %s: %s", self.name, self.id, error.to, error)
        self.acknowledged = True  # for Celery, which would have it back in the queue when it stops
        self.send_event("task-rejected", requeue=True)
        self.message.channel.qos.release(self.message.delivery_tag)
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
