"""Redis that dies, freezes or is not there yet; workers that are frozen or exit."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.worker.operation.model import Action, GroupId, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import eventually


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Bench]:
    """A bench with a Redis and a cluster of its own, to be broken."""
    with parts(tmp_path / "parts") as (redis, cluster, guard):
        bench = Bench(redis, cluster, guard, tmp_path / "bench")
        try:
            yield bench
        finally:
            bench.close()


def test_redis_killed_in_the_middle_loses_nothing_that_it_acknowledged(alone: Bench) -> None:
    alone.admin.set_latency(300)
    alone.beat()
    alone.keep_running("kept")
    operation = alone.start(Action.CREATE)
    eventually(alone.holding, "a write has taken effect")
    alone.redis.kill()
    alone.redis.start()
    alone.admin.set_latency(None)
    end = alone.end(operation, patience=90)
    assert end.operation.state is State.COMMITTED
    assert all(alone.effects(host) == ["POST"] for host in alone.hosts)


def test_an_outage_of_redis_is_told_in_a_few_lines(alone: Bench) -> None:
    alone.admin.set_latency(700)
    worker = alone.worker(options=["-c", "32"])
    for number in range(30):
        alone.start(Action.CREATE, GroupId(f"many-{number}"))
    eventually(lambda: len(alone.admin.history()) > 20, "many tasks are under way")
    before = len(worker.output())
    alone.redis.kill()
    counted = re.compile(r"\(and (\d+) more like it\)")
    eventually(lambda: counted.search(worker.output()[before:]) is not None, "what was left out is counted")
    alone.redis.start()
    told_of_it = worker.output()[before:]
    assert "Traceback" not in told_of_it, told_of_it
    assert "Deprecation" not in told_of_it, told_of_it
    assert sum(map(int, counted.findall(told_of_it))) >= 10, "each task has noticed"
    lines = [line for line in told_of_it.splitlines() if re.match(r"\[.*: (WARNING|ERROR|CRITICAL)/", line)]
    assert any("Error 111" in line or "reset" in line or "closed by" in line for line in lines), told_of_it
    assert max(Counter(line[:20] for line in lines).values()) <= 4, "a second"


@pytest.mark.parametrize("action", Action)
def test_redis_killed_in_the_middle_of_a_rollback_leaves_every_host_as_it_was(
    alone: Bench, action: Action
) -> None:
    forward, inverse = ("POST", "DELETE") if action is Action.CREATE else ("DELETE", "POST")
    if action is Action.DELETE:
        for host in alone.hosts:
            alone.admin.plant(host, alone.group, {"owner": "ada"})
    alone.beat()
    alone.keep_running("kept")
    alone.admin.set_faults(
        {"kind": "throttle", "status": 429, "retry_after": 5, "methods": ["GET"]}, node="node3"
    )
    operation = alone.start(action)
    for name in ("node1", "node2"):
        eventually(lambda h=name: alone.effects(h) == [forward], f"{name} is changed")  # type: ignore[misc]
    alone.admin.set_latency(300)
    assert alone.store.cancel(operation, "half way") is None
    eventually(lambda: any(entry.method == inverse for entry in alone.history()), "an undo is under way")
    alone.redis.kill()
    alone.redis.start()
    alone.admin.set_latency(None)
    end = alone.end(operation, patience=90)
    assert end.operation.state is State.ROLLED_BACK
    assert {host: alone.effects(host) for host in alone.hosts} == {
        "node1": [forward, inverse],
        "node2": [forward, inverse],
        "node3": [],
    }
    if action is Action.DELETE:
        assert [alone.admin.groups(host)[alone.group]["owner"] for host in alone.hosts] == ["ada"] * 3


def test_a_worker_started_before_redis_waits_for_it(alone: Bench) -> None:
    operation = alone.start(Action.CREATE)
    alone.redis.kill()
    worker = alone.worker(wait=False)
    alone.beat()
    eventually(lambda: "Cannot connect" in worker.output(), "the worker says that it waits")
    assert worker.running
    alone.redis.start()
    assert alone.end(operation).operation.state is State.COMMITTED


def test_no_write_goes_out_while_redis_is_frozen(alone: Bench) -> None:
    alone.admin.set_latency(500)
    alone.beat()
    alone.keep_running("kept")
    operation = alone.start(Action.CREATE)
    eventually(alone.admin.history, "the first GETs are under way")
    os.kill(alone.redis.pid, signal.SIGSTOP)
    try:
        frozen = len(alone.history())
        eventually(
            lambda: len([e for e in alone.history() if e.method == "GET" and e.ended_at]) >= 1,
            "a GET was answered while Redis was frozen",
        )
        assert not [entry for entry in alone.history()[frozen:] if entry.method != "GET"]
    finally:
        os.kill(alone.redis.pid, signal.SIGCONT)
    alone.admin.set_latency(None)
    assert alone.end(operation, patience=90).operation.state is State.COMMITTED


def test_a_worker_frozen_past_send_by_writes_nothing_when_it_wakes(bench: Bench) -> None:
    bench.beat()
    # One thread: another might be frozen between the guard's look and the first byte, which no guard sees.
    worker, mark = bench.held_worker("frozen after begin", options=["-c", "1"])
    operation = bench.start(Action.CREATE)
    eventually(mark.exists, "a worker was frozen after begin")
    bench.worker("next")
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    before = len(bench.history())
    os.kill(worker.pid, signal.SIGCONT)
    eventually(lambda: "succeeded in" in worker.output(), "the frozen worker went on to its task's end")
    worker.stop()
    assert [e.method for e in bench.history()[before:] if e.method != "GET"] == []
    assert all(bench.effects(host) == ["POST"] for host in bench.hosts)
