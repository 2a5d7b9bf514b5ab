"""The span in which an operation is enqueued, so that its tasks and calls are seen as one trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.telemetry.tracing import ids, tracers

SERVICE = "lockstep"


@contextmanager
def enqueuing(what: str, operation: OperationId, group: GroupId) -> Iterator[None]:
    """Trace what is enqueued inside, if OpenTelemetry's variables or the calling program ask for it."""
    own = tracers(SERVICE)
    if own is None:
        yield
        return
    from celery.signals import before_task_publish
    from opentelemetry.trace import SpanKind

    before_task_publish.connect(_carry, dispatch_uid=__name__)
    attributes = ids(operation, group)
    with own.get_tracer(__name__).start_as_current_span(
        f"enqueue {what}", kind=SpanKind.PRODUCER, attributes=attributes
    ):
        yield


def _carry(headers: Any = None, **_: Any) -> None:
    """Put the current span into a message; Celery's instrumentation leaves spans of unknown tasks open."""
    from opentelemetry.propagate import inject

    if headers:
        inject(headers)
