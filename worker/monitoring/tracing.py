"""Traces, by OpenTelemetry: off, and not imported, unless its own variables say where they are to go.

It needs the extra: `pip install 'lockstep[tracing]'`. Its variables are OTEL_TRACES_EXPORTER,
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED and so on.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TYPE_CHECKING, Any

from lockstep.worker.operation.answer import CallFigures, CallWatch
from lockstep.worker.process.secrets import mask, masked

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)
EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
OTLP = "otlp_proto_http"
"""The one way to speak OTLP that the extra brings."""
IDLE = re.compile(r"resumed 0|0 groups|another (sweep|patrol) is at it|put off: .*")
"""What the sweep and the patrol say when they published nothing; they say so every few seconds, for ever."""
RESULT = "lockstep.result"


def wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment says where traces are to go."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get(EXPORTER, "")
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in ENDPOINTS))


def tracers(service: str) -> TracerProvider | None:
    """Return what makes spans in this process: the program's own if it has one; None if nobody wants any.

    `service` is the name under which they are seen, unless OTEL_SERVICE_NAME gives another. Never raises:
    what is wrong with traces is logged once, and no operation suffers by it.
    """
    return _of_the_program() or (_exporting(service) if wanted(os.environ) else None)


def _of_the_program() -> TracerProvider | None:
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    theirs = trace.get_tracer_provider()
    return theirs if isinstance(theirs, TracerProvider) else None


@functools.cache
def _exporting(service: str) -> TracerProvider | None:
    try:
        version("opentelemetry-instrumentation-celery")
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = Resource.create()
        if str(named.attributes[SERVICE_NAME]).startswith("unknown_service"):
            named = named.merge(Resource({SERVICE_NAME: service}))
        own = TracerProvider(resource=named)
        for exporter in _exporters(os.environ):
            own.add_span_processor(_processor(exporter))
        return own
    except PackageNotFoundError:
        log.warning("no traces: OpenTelemetry is asked for, but not here (pip install 'lockstep[tracing]')")
    except Exception as error:  # noqa: BLE001 - whatever OpenTelemetry's own code says of its variables
        log.warning("no traces: %s", " ".join(str(error).split()))
    return None


def instrument(own: TracerProvider) -> None:
    """Make spans of every task that this worker runs or publishes."""
    from celery.signals import task_postrun, task_prerun, worker_process_shutdown
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    # Signals are heard in the order of their connection: a span is there only between these two.
    task_postrun.connect(_tell_result, weak=False)
    celery = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    celery.instrument(tracer_provider=own)
    task_prerun.connect(_tell_ids, weak=False)
    # A child ends without what ends a process otherwise.
    worker_process_shutdown.connect(lambda **_: own.force_flush(), weak=False)


def calls_of(own: TracerProvider) -> Callable[[str, str], CallWatch]:
    """Return what makes a span of a call to a host, within the task's, and tells the host of it."""
    from opentelemetry import trace
    from opentelemetry.propagate import inject

    tracer = own.get_tracer("lockstep")

    def begin(method: str, url: str) -> CallWatch:
        asked = {"http.method": method, "http.url": url}
        span = tracer.start_span(method, kind=trace.SpanKind.CLIENT, attributes=asked)
        headers: dict[str, str] = {}
        inject(headers, trace.set_span_in_context(span))

        def end(carried: CallFigures | None) -> None:
            told = carried and {
                "http.status_code": carried.status,
                "http.request_size": carried.sent,
                "http.response_size": carried.received,
                "lockstep.connected_seconds": carried.connected,
                "lockstep.secured_seconds": carried.secured,
                "lockstep.first_byte_seconds": carried.first_byte,
                "lockstep.kept_connection": carried.kept,
            }
            span.set_attributes(told or {})
            span.end()

        return headers, end

    return begin


def ids(operation: str, group: str, *hosts: str) -> dict[str, Any]:
    """Return the attributes by which the spans of an operation are found."""
    found: dict[str, Any] = {"lockstep.operation": operation, "lockstep.group": group}
    return found | ({"lockstep.hosts": hosts} if hosts else {})


def _tell_ids(task: Any, args: Any = (), **_: Any) -> None:
    from opentelemetry import trace

    if len(args) > 1:
        told = ids(*args)
        if at := task.request.get("wave"):
            told["lockstep.wave"] = at
        trace.get_current_span().set_attributes(told)


def _tell_result(retval: Any = None, **_: Any) -> None:
    from opentelemetry import trace

    if isinstance(retval, str):
        trace.get_current_span().set_attribute(RESULT, retval)


def _exporters(environment: Mapping[str, str]) -> Iterator[SpanExporter]:
    for name in (environment.get(EXPORTER) or "otlp").split(","):
        known = {"otlp": OTLP}.get(name.strip(), name.strip())
        found = list(entry_points(group="opentelemetry_traces_exporter", name=known))
        if not found:
            raise LookupError(f'{EXPORTER} names "{name.strip()}", which is not here: give otlp or console')
        yield found[0].load()()


def _mask(span: Any) -> None:
    """Mask what a span says, errors included; its attributes are read-only to all but this."""
    span._attributes = masked(dict(span.attributes or {}))
    for event in span.events:
        event._attributes = masked(dict(event.attributes or {}))
    if span.status.description:
        span._status = type(span.status)(span.status.status_code, mask(span.status.description))


def _processor(exporter: SpanExporter) -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Worthwhile(BatchSpanProcessor):
        """Exports all but the sweeps and patrols that found nothing to do."""

        def on_end(self, span: ReadableSpan) -> None:
            _mask(span)
            said = (span.attributes or {}).get(RESULT)
            if not (span.parent is None and isinstance(said, str) and IDLE.fullmatch(said)):
                super().on_end(span)

    return Worthwhile(exporter)
