"""What is told of a task and of a call to a host in their spans."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from celery.utils.dispatch import Signal
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lockstep.worker.monitoring import tracing
from lockstep.worker.monitoring.tracing import RESULT, calls_of, ids, instrument
from lockstep.worker.operation.answer import CallFigures


class Spans:
    """A provider of a program, and what it exported."""

    def __init__(self) -> None:
        self.own, self._kept = TracerProvider(), InMemorySpanExporter()
        self.own.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = self.own.get_tracer("test")

    def ended(self) -> list[tuple[str, dict[str, Any]]]:
        return [(each.name, dict(each.attributes or {})) for each in self._kept.get_finished_spans()]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_a_call_is_a_span_within_the_tasks_and_the_host_is_told_of_it(spans: Spans) -> None:
    begin = calls_of(spans.own)
    carried = CallFigures(0.1, 0.2, 0.3, 0.4, sent=50, received=60, kept=True, status=201)
    with spans.tracer.start_as_current_span("step") as step:
        headers, end = begin("POST", "http://node1/x")
        assert spans.ended() == []
        end(carried)
        begin("GET", "http://node1/y")[1](None)
    made, failed, _ = spans._kept.get_finished_spans()
    assert headers["traceparent"].split("-")[1:3] == [
        trace.format_trace_id(step.get_span_context().trace_id),
        trace.format_span_id(made.context.span_id),
    ]
    assert made.kind is failed.kind is trace.SpanKind.CLIENT
    assert spans.ended() == [
        (
            "POST",
            {
                "http.method": "POST",
                "http.url": "http://node1/x",
                "http.status_code": 201,
                "http.request_size": 50,
                "http.response_size": 60,
                "lockstep.connected_seconds": 0.1,
                "lockstep.secured_seconds": 0.2,
                "lockstep.first_byte_seconds": 0.3,
                "lockstep.kept_connection": True,
            },
        ),
        ("GET", {"http.method": "GET", "http.url": "http://node1/y"}),
        ("step", {}),
    ]


def test_a_span_is_found_by_its_operation_its_group_and_its_hosts() -> None:
    known = {"lockstep.operation": "o1", "lockstep.group": "g"}
    assert ids("o1", "g") == known
    assert ids("o1", "g", "a", "b") == {**known, "lockstep.hosts": ("a", "b")}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Signal]:
    """Signals of Celery that nobody else hears."""
    mine = [Signal(), Signal(), Signal()]
    for name, own in zip(("task_prerun", "task_postrun", "worker_process_shutdown"), mine, strict=True):
        monkeypatch.setattr(f"celery.signals.{name}", own)
    monkeypatch.setattr(CeleryInstrumentor, "instrument", lambda *_, **__: None)
    return mine


@pytest.mark.parametrize(
    ("args", "wave", "told"),
    [
        (("o1", "g"), None, ids("o1", "g")),
        (("o1", "g", "a"), 2, {**ids("o1", "g", "a"), "lockstep.wave": 2}),
        (("g",), 2, {}),
        ((), None, {}),
    ],
)
def test_a_task_is_told_of_by_what_it_is_about_and_by_what_it_came_to(
    spans: Spans,
    heard: list[Signal],
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    wave: int | None,
    told: dict[str, Any],
) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(spans.own, "force_flush", lambda: flushed.append(True))
    instrument(spans.own)
    begins, ends, stops = heard
    request = {} if wave is None else {"wave": wave}
    for retval in ("applied", None):
        with spans.tracer.start_as_current_span("task"):
            begins.send(None, task=SimpleNamespace(request=request), args=args)
            ends.send(None, retval=retval)
    assert spans.ended() == [("task", {**told, RESULT: "applied"}), ("task", told)]
    assert not flushed
    stops.send(None)
    assert flushed, "a child ends without what ends a process otherwise"


def test_the_provider_of_the_program_is_taken_if_it_has_one(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.own)
    assert tracing.tracers("lockstep-worker") is spans.own
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    assert tracing._of_the_program() is None
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk.trace")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: pytest.fail("imported for nothing"))
    assert tracing._of_the_program() is None
