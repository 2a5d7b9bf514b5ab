"""Traces: when they are wanted, where they go, and that what is wrong with them stops nothing."""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from importlib.metadata import PackageNotFoundError

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lockstep.worker.monitoring import tracing
from lockstep.worker.monitoring.tracing import EXPORTER, RESULT, tracers, wanted
from lockstep.worker.process.secrets import know


@pytest.fixture(autouse=True)
def none_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*tracing.ENDPOINTS, EXPORTER, "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tracing, "_of_the_program", lambda: None)
    monkeypatch.setattr(tracing, "_exporting", functools.cache(tracing._exporting.__wrapped__))


@pytest.mark.parametrize(
    ("environment", "are"),
    [
        ({}, False),
        ({EXPORTER: "none", tracing.ENDPOINTS[0]: "http://collector"}, False),
        ({EXPORTER: "console"}, True),
        ({tracing.ENDPOINTS[0]: "http://collector"}, True),
        ({tracing.ENDPOINTS[1]: "http://collector"}, True),
        ({EXPORTER: "console", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({EXPORTER: "console", "OTEL_SDK_DISABLED": "no"}, True),
    ],
)
def test_traces_are_wanted_where_the_environment_says_where_to(
    environment: dict[str, str], are: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wanted(environment) is are
    made: list[str] = []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tracing, "_exporting", made.append)
    tracers("lockstep-worker")
    assert made == ["lockstep-worker"] * are


def test_an_exporter_is_found_by_its_name() -> None:
    names = [type(each).__name__ for each in tracing._exporters({EXPORTER: "console, otlp"})]
    assert names == ["ConsoleSpanExporter", "OTLPSpanExporter"]
    assert [type(each).__name__ for each in tracing._exporters({})] == ["OTLPSpanExporter"]


def test_an_exporter_that_is_not_here_is_told_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(EXPORTER, "carrier-pigeon")
    assert [tracers("lockstep-worker") for _ in range(2)] == [None, None]
    why = f'{EXPORTER} names "carrier-pigeon", which is not here: give otlp or console'
    assert caplog.record_tuples == [(tracing.__name__, logging.WARNING, f"no traces: {why}")]


def test_without_opentelemetry_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lacks(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setenv(EXPORTER, "console")
    monkeypatch.setattr(tracing, "version", lacks)
    assert tracers("lockstep-worker") is None
    assert "pip install 'lockstep[tracing]'" in caplog.text


@pytest.mark.parametrize(("given", "named"), [(None, "lockstep-worker"), ("mine", "mine")])
def test_spans_are_exported_masked_and_not_those_of_idle_sweeps(
    given: str | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    know("canary-1-word")
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_exporters", lambda _: iter([exporter]))
    monkeypatch.setenv(EXPORTER, "console")
    if given is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", given)
    own = tracers("lockstep-worker")
    assert own is not None
    assert tracers("lockstep-worker") is own
    tracer = own.get_tracer("test")
    for said in ("resumed 0", "0 groups", "another patrol is at it", "put off: Redis is full", "resumed 2"):
        with tracer.start_as_current_span("sweep") as span:
            span.set_attribute(RESULT, said)
    with tracer.start_as_current_span("parent"), tracer.start_as_current_span("child") as span:
        span.set_attribute(RESULT, "resumed 0")  # it is a part of what is told
    url = {"lockstep.url": "http://canary-1-word@node1"}
    with suppress(ValueError), tracer.start_as_current_span("step", attributes=url):
        raise ValueError("wrong: canary-1-word")
    own.shutdown()
    spans = exporter.get_finished_spans()
    assert [each.name for each in spans] == ["sweep", "child", "parent", "step"]
    assert "canary" not in "".join(each.to_json() for each in spans)
    assert "wrong" in spans[-1].to_json()
    assert spans[0].resource.attributes["service.name"] == named
