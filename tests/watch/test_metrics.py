"""What workers tell Prometheus, on both pools; alerts and the dashboard ask for nothing else."""

from __future__ import annotations

import fcntl
import json
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from lockstep.producer.stack.ports import free_port
from lockstep.worker.monitoring import endpoint as door_of_a_worker
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.endpoint import (
    ASKED_AT_ONCE,
    CLAIM,
    EVERY,
    GAUGES,
    Figures,
    Metrics,
    MetricsRequest,
    MetricsServer,
    RecordCollector,
)
from lockstep.worker.operation.model import Action, State
from lockstep.worker.settings import Settings, load_settings
from lockstep.worker.tasks.figures import FiguresReader
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
from tests.watch.counted import WATCHING, Counted


@pytest.fixture(params=["threads", "prefork"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counted]:
    with parts(tmp_path) as found:
        # What a sweep resumes on a busy machine comes to the same, and is counted, once more.
        bench = Bench(*found, tmp_path / "bench", {"sweep_patience": "30"})
        try:
            yield Counted(bench, request.param)
        finally:
            bench.close()


def test_workers_count_what_was_done_and_show_how_things_stand(counted: Counted) -> None:
    bench = counted.bench
    bench.end(bench.start(Action.CREATE))
    counted.reaches(1, "operations_total", action="create", end="committed")
    bench.admin.add_faults({"kind": "refuse", "methods": ["DELETE"], "status": 403}, node="node3")
    assert bench.end(bench.start(Action.DELETE)).operation.state is State.ROLLED_BACK
    counted.reaches(1, "operations_total", action="delete", end="rolled_back")
    counted.comes_to(1, "operation_seconds_count", action="delete", end="rolled_back")
    counted.comes_to(1, "operations_total", action="create", end="committed")
    counted.comes_to(1, "rollbacks_total", action="delete")
    assert counted.value("rollbacks_total", action="create") == 0
    counted.comes_to(3, "steps_total", task="create_group", outcome="applied")
    counted.comes_to(1, "steps_total", task="delete_group", outcome="refused")
    counted.reaches(3, "attempts_total", call="create", answer="applied")
    counted.comes_to(1, "attempts_total", call="delete", answer="refused")
    counted.reaches(3, "call_seconds_count", call="create")
    counted.reaches(1, "sweeps_total")
    counted.comes_to(0, "operations_in_flight")
    counted.comes_to(0, "queue_length", queue="operations")
    counted.comes_to(1, "record_up")


def test_a_host_that_refuses_to_be_restored_is_pending_until_it_is(counted: Counted) -> None:
    bench = counted.bench
    bench.end(bench.start(Action.CREATE))
    # Whatever is deleted cannot be restored while node1 refuses, and node3 has it rolled back.
    bench.admin.add_faults({"kind": "refuse", "methods": ["DELETE"], "status": 403}, node="node3")
    bench.admin.set_latency(300, node="node3")
    bench.admin.add_faults({"kind": "refuse", "methods": ["POST"], "status": 403}, node="node1")
    operation = bench.start(Action.DELETE)
    counted.reaches(1, "pending_hosts")
    counted.comes_to(1, "operations_in_flight")
    bench.admin.set_faults(node="node1")
    bench.end(operation)
    counted.comes_to(0, "pending_hosts")


def test_a_record_out_of_reach_is_told_within_seconds() -> None:
    nobody = load_settings(redis_url=f"redis://127.0.0.1:{free_port(0)}/0")
    registry = CollectorRegistry()
    registry.register(RecordCollector(FiguresReader(nobody).read))
    begun = time.monotonic()
    told = generate_latest(registry).decode()
    assert time.monotonic() - begun < 10, "Prometheus waits no longer"
    assert "lockstep_record_up 0.0" in told
    assert "lockstep_operations_in_flight" not in told


def test_a_worker_that_ends_leaves_no_files(counted: Counted) -> None:
    assert list(counted.temporary.glob("lockstep-metrics-*"))
    counted.worker.stop()
    assert not list(counted.temporary.glob("lockstep-metrics-*"))


def test_the_files_of_a_killed_worker_go_at_the_next_start_and_those_of_others_stay(counted: Counted) -> None:
    def folders() -> set[str]:
        return {path.name for path in counted.temporary.glob("lockstep-metrics-*")}

    first = folders()
    other = counted.start("other")
    second = folders() - first
    assert (len(first), len(second)) == (1, 1), "both live"
    counted.worker.kill()
    (claim,) = (counted.temporary / name / CLAIM for name in first)
    eventually(lambda: released(claim), "the last process of its pool is gone too")
    third = counted.start("third")
    assert first & folders() == set()
    assert second < folders()
    for worker in (other, third):
        worker.stop()
    assert folders() == set()


def released(claim: Path) -> bool:
    with claim.open() as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def named(text: str) -> set[str]:
    return set(re.findall(r"\blockstep_\w+", text))


def known() -> set[str]:
    counters = (
        "steps",
        "attempts",
        "operations",
        "rollbacks",
        "sweeps",
        "sweeps_put_off",
        "redis_errors",
        "messages_without_record",
        "messages_dropped",
        "not_done",
        "steps_raised",
    )
    histograms = ("call_seconds", "operation_seconds")
    names = [name for name, (_, label) in GAUGES.items() if not label]
    names += ["record_up", "queue_length", "clock_ahead_seconds", "worker_stalled_seconds"]
    names += ["wave", "held_seconds", "baking_seconds"]
    names += [f"{name}_total" for name in counters] + [f"{name}_bucket" for name in histograms]
    return {f"lockstep_{name}" for name in names}


def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are() -> None:
    alerts = yaml.safe_load((WATCHING / "alerts.yaml").read_text())
    asked = {rule["expr"] for group in alerts["groups"] for rule in group["rules"]}
    board = json.loads((WATCHING / "dashboard.json").read_text())
    shown = {target["expr"] for panel in board["panels"] for target in panel["targets"]}
    assert named(" ".join(asked)) <= known()
    assert named(" ".join(shown)) == known()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where a worker's counts are asked for; half a request has a second."""
    monkeypatch.setattr(MetricsRequest, "timeout", 1.0)
    monkeypatch.setattr(door_of_a_worker, "LONGEST", 2.0)
    counts, port = Metrics(), free_port(0)
    stop = counts.serve("127.0.0.1", port, Figures)
    try:
        yield port
    finally:
        stop()


@pytest.fixture
def many_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]) if limits[1] > 0 else 4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("many_files")
def test_half_requests_take_no_more_than_a_few_threads_and_soon_none(door: int) -> None:
    over = threading.Event()
    turns: list[int] = []

    def work() -> None:
        while not over.wait(0.001):
            turns.append(len(turns))

    sweep = threading.Thread(target=work)
    sweep.start()
    before = threading.active_count()
    with ExitStack() as held:
        held.callback(sweep.join)
        held.callback(over.set)
        for n in range(1500):
            line = held.enter_context(socket.create_connection(("127.0.0.1", door), timeout=PATIENCE))
            with suppress(OSError):  # it was turned away
                line.sendall(b"GET /metrics HTTP/1.1\r\n")
            if n % 100 == 0:
                assert threading.active_count() - before <= 2 * ASKED_AT_ONCE
                turn = len(turns)
                eventually(lambda turn=turn: len(turns) > turn + 1, "others go on")  # type: ignore[misc]
        assert threading.active_count() - before <= 2 * ASKED_AT_ONCE
        eventually(lambda: threading.active_count() <= before, "their time is over")
        url = f"http://127.0.0.1:{door}/metrics"
        eventually(lambda: answers(url), "Prometheus is answered while they are still there")


def test_a_request_that_comes_in_drops_ends_too(door: int) -> None:
    with socket.create_connection(("127.0.0.1", door), timeout=PATIENCE) as line:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 30:
                line.sendall(b"X")
                line.settimeout(0.2)
                with suppress(TimeoutError):
                    if not line.recv(1):
                        break
        assert time.monotonic() - began < 20


def test_a_step_that_raised_is_seen_at_the_port_by_the_name_that_the_alert_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_counting", {})
    counts, port = Metrics(), free_port(0)
    metrics.count_with(counts)
    stop = counts.serve("127.0.0.1", port, Figures)
    try:
        metrics.count("steps_raised", "create_group")
        said = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
    finally:
        stop()
    assert 'lockstep_steps_raised_total{task="create_group"} 1.0' in said
    assert (
        "sum by (namespace) (increase(lockstep_steps_raised_total[15m])) > 0"
        in (WATCHING / "alerts.yaml").read_text()
    )


def answers(url: str) -> bool:
    try:
        return "lockstep_record_up 1.0" in requests.get(url, timeout=PATIENCE).text
    except requests.RequestException:
        return False


def test_by_default_a_worker_is_asked_from_this_machine_alone() -> None:
    assert Settings.metrics_address == "127.0.0.1"
    assert f"LOCKSTEP_METRICS_ADDRESS={EVERY}" in (WATCHING.parent / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_a_container_answers_by_every_protocol_that_it_has(
    has_ipv6: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_ipv6:
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with MetricsServer((EVERY, 0), MetricsRequest) as door:
        reached = [host for host in ("127.0.0.1", "::1") if _reaches(host, door.server_port)]
    assert reached == (["127.0.0.1", "::1"] if has_ipv6 else ["127.0.0.1"])


def _reaches(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False
