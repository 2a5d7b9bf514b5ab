"""Logs with the ids of the task that wrote them: one JSON object per line, or text for people."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from celery import current_task
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

ARGUMENTS = ("operation", "group", "host")
Line = MutableMapping[str, Any]


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
