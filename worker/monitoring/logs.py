"""Logs with the ids of the task that wrote them: one JSON object per line, or text for people."""

from __future__ import annotations

import inspect
import logging
import re
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from celery import current_task
from celery.beat import SchedulingError
from celery.exceptions import CeleryError, Reject
from kombu.exceptions import OperationalError
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

from lockstep.worker.connection.primary import AWAY, OUT_OF_REACH
from lockstep.worker.monitoring.metrics import current_ids
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.process.secrets import MaskedFormatter

IDS = ("operation", "group", "host", "wave", "attempt")
Line = MutableMapping[str, Any]
LineKind = tuple[str, str, str]
AWAY_KIND: LineKind = ("", "Redis is out of reach", "")
LONGEST_KIND = 200
MOST_KINDS = 500
"""Kinds are told apart by LONGEST_KIND characters; after MOST_KINDS of them counting begins anew."""
OUTSIDE = re.compile(r"Exception raised outside body: .*(?:Connection|Timeout|Operational)Error.*")
"""What Celery warns of, with a traceback, when Redis goes away just as the result of a task is to be kept."""
EXPECTED = (Reject, OperationalError, StoreUnavailable, OSError, *AWAY)
"""What an outage of Redis raises everywhere: where it was raised tells nobody anything."""


def later(seconds: float, what: Callable[[], None]) -> None:
    """Do something after `seconds`, unless the process has ended by then."""
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()


@dataclass(slots=True)
class _Window:
    """A time in which warnings of one kind are counted."""

    ends: float
    lasts: float
    shows: int
    seen: int = 0


class RepeatLimit(logging.Filter):
    """Lets two warnings of a kind through in five seconds, and then has it said how many there were besides.

    What is out of reach is asked by every thread: without a bound, an outage would fill the disk with one
    line over and over. All that says that Redis is out of reach is of one kind; while that goes on, the
    others are counted for ten seconds, then for twenty, up to two minutes. Of an error that an outage
    explains one is let through, in one line, with no traceback unless the log is at DEBUG; where `explain`
    knows the remedy, its text stands there instead.
    """

    MOST = 2
    WITHIN = 5.0
    LONGEST = 120.0

    def __init__(self, handler: logging.Handler, explain: Callable[[BaseException], str | None]) -> None:
        super().__init__()
        self._handler = handler
        """Its lock is ours too: one that a fork makes anew."""
        self._explain = explain
        self._kinds: dict[LineKind, _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        outage = kind == AWAY_KIND or _is_outage(record)
        self._in_one_line(record, kind)
        now = time.monotonic()
        self._handler.acquire()
        try:
            window = self._kinds.get(kind)
            if window is None or now >= window.ends:
                window = self._kinds[kind] = self._next(outage, window, now)
            window.seen += 1
            left_out = window.seen - window.shows
        finally:
            self._handler.release()
        if left_out == 1:
            if current_task:  # type: ignore[truthy-bool]  # Celery looks for it where a line is written
                vars(record).update(task_name=current_task.name, task_id=current_task.request.id)
            later(window.ends - now, lambda: self._tell(window, record))
        return left_out < 1

    def _next(self, outage: bool, before: _Window | None, now: float) -> _Window:
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        lasts = self.WITHIN
        if outage and before and before.seen > 1 and now < before.ends + before.lasts:
            lasts = min(2 * before.lasts, self.LONGEST)
        return _Window(now + lasts, lasts, 1 if outage else self.MOST)

    def _in_one_line(self, record: logging.LogRecord, kind: LineKind) -> None:
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._told, record.args))
        warned = OUTSIDE.search(record.getMessage())
        if kind == AWAY_KIND and not logging.getLogger().isEnabledFor(logging.DEBUG):
            record.msg, record.args = "%s", (warned[0] if warned else " ".join(record.getMessage().split()),)
        error = record.exc_info[1] if record.exc_info else None
        if not error or not _explained(error) or logging.getLogger().isEnabledFor(logging.DEBUG):
            return
        if isinstance(record.args, tuple):  # beat adds where it stands, as a list
            record.args = tuple("" if isinstance(each, list) else each for each in record.args)
        text = record.getMessage().rstrip()
        why = repr(error) if isinstance(error, Reject) else str(self._told(error))
        record.msg = text if why in text else f"{text} ({why})"
        record.args = record.exc_info = record.exc_text = None

    def _told(self, value: object) -> object:
        return (self._explain(value) or value) if isinstance(value, BaseException) else value

    def _tell(self, window: _Window, left_out: logging.LogRecord) -> None:
        one, more = left_out, window.seen - window.shows - 1
        text = one.getMessage().rstrip() + (f" (and {more} more like it)" if more else "")
        told = logging.LogRecord(one.name, one.levelno, one.pathname, one.lineno, text, None, None)
        vars(told).update((name, of) for name, of in vars(one).items() if name in ("task_name", "task_id"))
        self._handler.acquire()
        try:
            self._handler.emit(told)
        finally:
            self._handler.release()


def _kind(record: logging.LogRecord) -> LineKind:
    error = record.exc_info[1] if record.exc_info else None
    given = record.args if isinstance(record.args, tuple) else ()
    if any(_is_out_of_reach(each) for each in (error, *given)) or OUTSIDE.search(record.getMessage()):
        return AWAY_KIND
    kinds = [type(each).__name__ for each in (error, error.__cause__ if error else None) if each]
    about = getattr(record, "about", "")
    return record.name, f"{about} {str(record.msg)[:LONGEST_KIND]}", " ".join(kinds)


def _is_outage(record: logging.LogRecord) -> bool:
    given = record.args if isinstance(record.args, tuple) else ()
    told = bool(record.exc_info and _explained(record.exc_info[1]))
    return told or any(isinstance(each, AWAY) for each in given)


def _is_out_of_reach(error: object) -> bool:
    while isinstance(error, BaseException) and not isinstance(error, OUT_OF_REACH):
        error = error.__cause__ or error.__context__
    return isinstance(error, OUT_OF_REACH)


def _explained(error: BaseException | None) -> bool:
    """Tell whether an outage explains the error: Celery raises errors of its own because of it."""
    while isinstance(error, (CeleryError, SchedulingError, RuntimeError)) and not isinstance(error, EXPECTED):
        error = error.__cause__ or error.__context__
    return isinstance(error, EXPECTED)


def limit_repeats(logger: logging.Logger, explain: Callable[[BaseException], str | None]) -> None:
    """Bound how often handlers write the same warning; `explain` gives an error its remedy, if it has one."""
    for handler in logger.handlers:
        if not any(isinstance(each, RepeatLimit) for each in handler.filters):
            handler.addFilter(RepeatLimit(handler, explain))


NEEDLESS = ("insecure SSL", "In Celery 5.1 we introduced")
"""kombu warns of a connection that is never made: Celery shows a URL when Flower asks for settings, and those
of a worker always verify. Celery warns, with each outage, of a default that is meant."""


def tells_something(record: logging.LogRecord) -> bool:
    """Tell whether a line of Celery's or kombu's is none of those that would only lead astray."""
    return not any(needless in record.getMessage() for needless in NEEDLESS)


def as_json(logger: logging.Logger) -> None:
    formatter = ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_log_level,
            add_logger_name,
            bind_ids,
            bind_task,
            structlog.processors.format_exc_info,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    for handler in logger.handlers:
        handler.setFormatter(formatter)


def as_text(logger: logging.Logger) -> None:
    """Let every handler of a logger end the lines of Lockstep's own with the ids that they are about."""
    for handler in logger.handlers:
        if not isinstance(handler.formatter, (IdFormatter, MaskedFormatter)):
            handler.setFormatter(IdFormatter(handler.formatter or logging.Formatter()))


class IdFormatter(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; other people's are as they were."""
        text = self._inner.format(record)
        if not record.name.startswith("lockstep."):
            return text
        known = bind_task(None, "", {"_record": record, **current_ids.get()})
        ids = [f"{name}={known[name]}" for name in IDS if name in known]
        return f"{text} [{' '.join(ids)}]" if ids else text


def bind_ids(logger: object, method: str, line: Line) -> Line:
    return {**current_ids.get(), **line}


def bind_task(logger: object, method: str, line: Line) -> Line:
    """Add the ids of the task that writes the line, or that the line is about."""
    if current_task:  # type: ignore[truthy-bool]  # a proxy, false outside tasks
        request = current_task.request
        line.update(_named(current_task.run, tuple(request.args or ())))
        line.update(task=current_task.name, task_id=request.id)
        if at := request.get("wave"):
            line["wave"] = at
        return line
    told = getattr(line.get("_record"), "data", None)
    if isinstance(told, dict) and "id" in told:
        line.update(task=told.get("name"), task_id=told["id"])
    return line


def _named(run: Callable[..., object], arguments: tuple[object, ...]) -> dict[str, object]:
    """Name the arguments of a task as the task does; its hosts only if there is one, not for a slice."""
    names = [name for name in inspect.signature(run).parameters if name != "hosts"]
    hosts = arguments[len(names) :]
    known = dict(zip(names, arguments, strict=False))
    return {**known, "host": hosts[0]} if len(hosts) == 1 else known
