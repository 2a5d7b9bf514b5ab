"""Traces: one operation is one, from its enqueuing to every call; and nothing of it where nobody asks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lockstep.worker.monitoring import tracing
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
from tests.warm import ANEW

pytest.importorskip("opentelemetry.instrumentation.celery", reason="the extra `tracing` is not installed")

from tests.watch.collector import Collector, Heard, collecting


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with parts(tmp_path) as found:
        # What a sweep publishes is in its trace: none is to come between a decision and the callback.
        made = Bench(*found, tmp_path / "bench", {"sweep_every": "60", "sweep_patience": "60"})
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def traced(bench: Bench, collector: Collector, pool: str) -> None:
    env = asking(collector)
    bench.beat()
    bench.worker(env=env, options=["-P", pool])


def asking(collector: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": f"{PATIENCE:.0f}",  # what is not taken within so many seconds is lost
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


def create(bench: Bench, collector: Collector) -> list[Heard]:
    """Create a group by the command; return every span of its trace once it is whole.

    The next task may have begun, and its span been heard of, before the span of the last one has ended.
    """
    done = bench.child("create", ["-m", "lockstep", "create", bench.group], asking(collector))
    eventually(lambda: not done.running, "the command ends")
    eventually(lambda: collector.named("enqueue create"), "its span is heard of")
    (root,) = collector.named("enqueue create")

    def trace() -> list[Heard]:
        return [span for span in collector.spans if span.trace == root.trace]

    eventually(lambda: whole(trace(), bench.hosts), lambda: f"its whole trace is heard of: {trace()}")
    return trace()


def whole(spans: list[Heard], hosts: Sequence[str]) -> bool:
    """Tell whether a trace has its end, a step for each host, what was published, and no gap."""
    run = [span for span in spans if span.name.startswith("run/")]
    stepped = {host for span in run for host in span.attributes.get("lockstep.hosts", ())}
    published = {span.id for span in spans if span.name.startswith("apply_async/")}
    return (
        any(map(concluded, run))
        and stepped == set(hosts)
        and published <= {span.parent for span in run}
        and {span.parent for span in spans} - {""} <= {span.id for span in spans}
    )


def concluded(span: Heard) -> bool:
    said = str(span.attributes.get(tracing.RESULT, ""))
    return span.name == "run/lockstep.conclude" and said.startswith(("committed", "rolled back"))


def below(span: Heard, spans: list[Heard]) -> set[str]:
    """Return the names of all spans that a span led to."""
    found: set[str] = set()
    for each in spans:
        if each.parent == span.id:
            found |= {each.name} | below(each, spans)
    return found


@pytest.mark.parametrize(("pool", "per_task"), [("threads", "1"), ("prefork", "1"), ("threads", "3")])
def test_one_operation_is_one_trace_from_its_enqueuing_to_every_call(
    bench: Bench, collector: Collector, pool: str, per_task: str
) -> None:
    bench.values["hosts_per_task"] = per_task
    traced(bench, collector, pool)
    spans = create(bench, collector)
    (root,) = (span for span in spans if not span.parent)
    assert (root.name, root.service) == ("enqueue create", "lockstep")
    assert root.attributes["lockstep.group"] == bench.group
    assert {span.parent for span in spans} - {""} <= {span.id for span in spans}, "a span is missing"
    assert below(root, spans) == {span.name for span in spans} - {root.name}

    steps = [span for span in spans if span.name == "run/lockstep.create_group"]
    assert {span.service for span in steps} == {"lockstep-worker"}
    said = "changed by its write" if per_task == "1" else "applied"
    assert all(said in span.attributes[tracing.RESULT] for span in steps), steps
    assert sorted(host for span in steps for host in span.attributes["lockstep.hosts"]) == sorted(bench.hosts)
    assert {span.attributes["lockstep.operation"] for span in [root, *steps]} == {
        root.attributes["lockstep.operation"]
    }
    for step in steps:
        assert below(step, spans) >= {"GET", "POST"}
    posts = [span.attributes["http.url"] for span in spans if span.name == "POST"]
    assert len(posts) == len(bench.hosts)
    calls = [span.attributes for span in spans if span.name in ("GET", "POST")]
    assert all(call["lockstep.first_byte_seconds"] > 0 for call in calls)
    assert {call["lockstep.kept_connection"] for call in calls} == {True, False}
    others = {span.name for span in collector.spans if span not in spans}
    assert not others & {"run/lockstep.sweep", "apply_async/lockstep.sweep"}, "a sweep that found nothing"


def test_a_rollback_is_in_the_same_trace(bench: Bench, collector: Collector) -> None:
    traced(bench, collector, "threads")
    bench.admin.set_faults({"kind": "refuse", "status": 403, "methods": ["POST"]}, node="node3")
    bench.admin.set_latency(500, node="node3")
    spans = create(bench, collector)
    undone = [span for span in spans if span.name == "run/lockstep.rollback_create"]
    written = [span for span in undone if "DELETE" in below(span, spans)]
    assert sorted(host for span in written for host in span.attributes["lockstep.hosts"]) == [
        "node1",
        "node2",
    ]


def test_nothing_of_it_is_imported_where_nobody_asks(bench: Bench) -> None:
    worker = bench.worker(
        env={"OTEL_SDK_DISABLED": "true", **ANEW}, options=["--include", "tests.watch.imported"]
    )
    told = eventually(lambda: re.search(r"imported: (.*) ?\.", worker.output()), "it says what it imported")
    code = "import redis, sys; print(*[name for name in sys.modules if name.startswith('opentelemetry')])"
    # redis-py imports the metrics of OpenTelemetry wherever they are installed.
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert set(told[1].split()) - set(theirs.stdout.split()) == set()
    for package in ("opentelemetry.instrumentation", "opentelemetry.exporter", "opentelemetry.sdk.trace"):
        assert package not in told[1]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, False),
        ({"OTEL_SERVICE_NAME": "lockstep"}, False),
    ],
)
def test_the_variables_of_opentelemetry_say_whether_there_are_traces(
    environment: dict[str, str], expected: bool
) -> None:
    assert tracing.wanted(environment) is expected


def test_an_exporter_that_is_not_here_is_named_and_breaks_nothing(bench: Bench, collector: Collector) -> None:
    env = {**asking(collector), tracing.EXPORTER: "zipkin"}
    worker = bench.worker(env=env)
    assert 'no traces: OTEL_TRACES_EXPORTER names "zipkin", which is not here' in worker.output()
    done = bench.child("create", ["-m", "lockstep", "create", bench.group], env)
    eventually(lambda: not done.running, "the command ends")
    assert f'created group "{bench.group}"' in done.output()
    assert not collector.spans
