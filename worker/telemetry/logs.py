"""Logs with the ids of the task that wrote them: one JSON object per line, or text for people."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from celery import current_task
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

ARGUMENTS = ("operation", "group", "host")
Line = MutableMapping[str, Any]
LONGEST_KIND = 200
MOST_KINDS = 500
"""Texts that are told apart, by so many of their characters; with more of them counting begins anew."""


class Calm(logging.Filter):
    """Lets two warnings of a kind through in each second, and says how many there were besides.

    What is out of reach is asked by every thread: without a bound, an outage would fill the disk with
    one line over and over.
    """

    MOST = 2

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """Logger and text -> the second in which it was last seen, and how often it was seen since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written; one that follows others of its kind says how many were not."""
        if record.levelno < logging.WARNING:
            return True
        kind = (record.name, str(record.msg)[:LONGEST_KIND])
        with self._lock:
            began, seen = self._kinds.get(kind, (-1.0, 0))
            now = self._clock()
            if now - began < 1:
                self._kinds[kind] = (began, seen + 1)
                return seen < self.MOST
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = (now, 1)
        if seen > self.MOST:
            record.msg = f"{record.getMessage()} (and {seen - self.MOST} more like it before)"
            record.args = None
        return True


def calm(logger: logging.Logger) -> None:
    """Let no handler of a logger write the same warning more than a few times a second."""
    for handler in logger.handlers:
        if not any(isinstance(each, Calm) for each in handler.filters):
            handler.addFilter(Calm())


def as_json(logger: logging.Logger) -> None:
    """Let every handler of a logger write JSON."""
    formatter = ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_log_level,
            add_logger_name,
            merge_contextvars,
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
        if not isinstance(handler.formatter, WithIds):
            handler.setFormatter(WithIds(handler.formatter or logging.Formatter()))


class WithIds(logging.Formatter):
    """A formatter that adds ids to what another one makes of a record."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; other people's are as they were."""
        text = self._inner.format(record)
        if not record.name.startswith("worker."):
            return text
        known = bind_task(None, "", {"_record": record, **get_contextvars()})
        ids = [f"{name}={known[name]}" for name in (*ARGUMENTS, "attempt") if name in known]
        return f"{text} [{' '.join(ids)}]" if ids else text


def bind_task(logger: object, method: str, line: Line) -> Line:
    """Add the ids of the task that writes the line, or that the line is about."""
    if current_task:  # type: ignore[truthy-bool]  # a proxy, false outside tasks
        request = current_task.request
        args = request.args or ()
        line.update(zip(ARGUMENTS, args[:2] if len(args) > len(ARGUMENTS) else args, strict=False))
        line.update(task=current_task.name, task_id=request.id)
        return line
    told = getattr(line.get("_record"), "data", None)
    if isinstance(told, dict) and "id" in told:
        line.update(task=told.get("name"), task_id=told["id"])
    return line
