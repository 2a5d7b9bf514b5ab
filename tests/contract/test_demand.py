"""How much work waits, as workers tell it: what autoscalers go by."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.celery import QUEUES
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.endpoint import GAUGES, Figures
from lockstep.worker.operation.model import GroupId, HostName
from lockstep.worker.record.keys import Keys
from lockstep.worker.settings import load_settings
from lockstep.worker.tasks import figures, sweep
from lockstep.worker.tasks.figures import FiguresReader
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, Driver
from tests.contract.waves import TWO, accepted, rollout


def hosts(number: int) -> tuple[HostName, ...]:
    return tuple(HostName(f"h{each}") for each in range(number))


def standing(server: RedisServer, **settings: object) -> Figures:
    return FiguresReader(load_settings(redis_url=server.url, key_prefix=PREFIX, **settings)).read()


@pytest.mark.parametrize(
    ("number", "workers"),
    [(5, 5 / 32), (50, 50 / 32), (51, 51 / 384), (1000, 1000 / 384), (5000, 5000 / 384)],
)
def test_each_host_without_an_outcome_counts_however_many_one_message_carries(
    redis_bench: RedisBench, server: RedisServer, number: int, workers: float
) -> None:
    Driver(redis_bench).accepted(hosts(number))
    now = standing(server)
    assert now.keys() == GAUGES.keys()
    assert now["waiting_hosts"] == {"operations": number, "rollback": 0}
    assert now["workers_wanted"] == {"operations": pytest.approx(workers), "rollback": 0}
    assert standing(server, concurrency=8, slice_threads=8)["workers_wanted"]["operations"] == number / 8


def test_what_has_ended_waits_for_nobody(redis_bench: RedisBench, server: RedisServer) -> None:
    idle = {"operations": 0, "rollback": 0}
    assert standing(server)["waiting_hosts"] == idle
    names = hosts(3)
    driver = Driver(redis_bench).accepted(names)
    driver.apply(*names[:2])
    assert standing(server)["waiting_hosts"]["operations"] == 1
    assert standing(server)["pending_hosts"] == 0, "nothing is to be undone"
    driver.apply(names[2])
    assert standing(server)["waiting_hosts"] == standing(server)["workers_wanted"] == idle


def test_what_is_undone_is_asked_of_rollback_workers_and_a_host_that_is_down_of_nobody(
    redis_bench: RedisBench, server: RedisServer
) -> None:
    names = hosts(60)
    driver = Driver(redis_bench).accepted(names)
    driver.undoing(*names)
    now = standing(server)
    assert now["waiting_hosts"] == {"operations": 0, "rollback": 60}
    assert now["workers_wanted"]["rollback"] == pytest.approx(60 / 384)
    driver.undo(*names[1:])
    assert standing(server)["waiting_hosts"]["rollback"] == 1
    redis_bench.store.postpone(driver.id, names[0], 60_000)
    assert standing(server)["waiting_hosts"]["rollback"] == 0, "it is asked again in a minute"
    assert standing(server)["pending_hosts"] == 1


@pytest.mark.parametrize("looked_at", [1, 2])
def test_operations_beyond_those_that_are_looked_at_are_taken_to_be_like_them(
    redis_bench: RedisBench, server: RedisServer, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(figures, "LOOKED_AT", looked_at)
    for number in range(6):
        driver = Driver(redis_bench, f"op{number}")
        driver.store.accept(driver.request(hosts(4), GroupId(f"g{number}")))
    assert standing(server)["waiting_hosts"]["operations"] == 24


def test_times_are_told_to_the_millisecond(still_redis: RedisBench, server: RedisServer) -> None:
    keys, client = Keys(PREFIX), still_redis.client
    driver = accepted(still_redis, replace(TWO, bake=30_000), deadline=10_000_000)

    def told(**settings: object) -> list[object]:
        now = standing(server, **settings)
        names = "sweep_lag_seconds", "operations_stuck", "bake_overdue_seconds"
        return [now[each] for each in names]

    due = int(client.zscore(keys.due, driver.id) or 0)
    still_redis.pass_time(due - 5000 - still_redis.now())
    assert told() == [0, 0, 0], "it is not due yet"
    still_redis.pass_time(8000)
    assert told()[0] == 3
    driver.apply(A)
    until = rollout(driver).bake_until
    assert until is not None
    assert standing(server)["baking_seconds"] == {driver.id: 0}, "it has just begun"
    still_redis.pass_time(until - 10_000 - still_redis.now())
    now = standing(server)
    assert (now["baking_seconds"], now["bake_overdue_seconds"]) == ({driver.id: 20}, 0)
    still_redis.pass_time(12_000)
    now = standing(server)
    assert (now["baking_seconds"], now["bake_overdue_seconds"]) == ({driver.id: 32}, 2)
    driver.store.hold(driver.id, "ann", "lunch")
    still_redis.pass_time(5000)
    now = standing(server)
    assert (now["held_seconds"], now["bake_overdue_seconds"]) == ({driver.id: 5}, 0), "a person holds it"


def test_what_is_told_of_the_patrol_and_of_workers_is_in_seconds(
    still_redis: RedisBench, server: RedisServer
) -> None:
    keys, client, now = Keys(PREFIX), still_redis.client, still_redis.now()
    assert standing(server)["patrol_lag_seconds"] == 0
    client.zadd(keys.patrol, {"late": now - 7000, "later": now - 3000, "due": now + 60_000})
    client.hset(keys.clocks, "w@h", json.dumps({"ahead": 2500, "at": now}))
    client.hset(keys.stalled, "w@h", json.dumps({"at": now - 9000, "why": "its loop stood still"}))
    told = standing(server)
    assert (told["patrol_overdue"], told["patrol_lag_seconds"]) == (2, 7)
    assert (told["clock_ahead_seconds"], told["worker_stalled_seconds"]) == ({"w@h": 2.5}, {"w@h": 9})


def test_an_operation_is_stuck_once_it_lasts_twice_as_long_as_it_may(
    still_redis: RedisBench, server: RedisServer
) -> None:
    driver = Driver(still_redis).accepted(hosts(2))
    created = driver.kept().created_at
    still_redis.pass_time(created + 120_000 - still_redis.now())
    assert standing(server, deadline=60)["operations_stuck"] == 0
    still_redis.pass_time(1)
    assert standing(server, deadline=60)["operations_stuck"] == 1


def test_a_sweep_puts_off_while_either_queue_is_long_and_needs_no_connection_but_the_records(
    redis_bench: RedisBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sweep once opened a connection to the broker, only to read how long its queues are."""
    settings = load_settings(sweep_queue_limit=2)
    runtime: Any = SimpleNamespace(settings=settings, store=redis_bench.store)
    no_broker: Any = None
    counted: list[str] = []
    monkeypatch.setattr(metrics, "count", counted.append)

    def said() -> str:
        return sweep._sweep(no_broker, runtime, lambda: None)

    for queue in QUEUES:
        redis_bench.client.rpush(f"{PREFIX}celery:{queue}", "a", "b")
        counted.clear()
        assert (said(), counted) == ("resumed 0", [])
        redis_bench.client.rpush(f"{PREFIX}celery:{queue}", "c")
        assert said().startswith("put off: the queues are long")
        assert counted == ["sweeps_put_off"]
        redis_bench.client.delete(f"{PREFIX}celery:{queue}")
