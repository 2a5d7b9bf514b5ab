"""Messages that are lost, delivered twice, or never sent: the sweep is the guarantee."""

from __future__ import annotations

import redis

from lockstep.worker.celery import OPERATIONS, ROLLBACK
from lockstep.worker.celery.messages import publish, publish_conclude
from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, State
from lockstep.worker.operation.transitions import Claim, Phase
from tests.integration.worker.harness import Bench
from tests.waits import eventually


def celery_key(bench: Bench, name: str) -> str:
    return f"{bench.settings.key_prefix}celery:{name}"


def test_the_sweep_publishes_what_a_producer_that_died_did_not(bench: Bench) -> None:
    operation = bench.accept(Action.CREATE)
    bench.run_all()
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    assert bench.holding() == set(bench.hosts)


def test_a_producer_killed_half_way_through_publishing_leaves_an_operation_that_ends(bench: Bench) -> None:
    program = bench.child("producer", ["-m", "tests.integration.worker.dying_producer", bench.group])
    eventually(lambda: not program.running, "the producer has killed itself")
    raw: redis.Redis = client(bench.settings)
    assert raw.llen(celery_key(bench, OPERATIONS)) == 1
    (operation,) = [each.id for each in bench.store.operations(10)]
    bench.run_all()
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    assert all(bench.effects(host) == ["POST"] for host in bench.hosts)


def test_headers_delivered_three_times_write_once(bench: Bench) -> None:
    operation = bench.accept(Action.CREATE)
    for _ in range(3):
        publish(bench.app, operation, Claim(Phase.FORWARD, bench.group, Action.CREATE, tuple(bench.hosts)))
    bench.run_all()
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    assert all(bench.effects(host) == ["POST"] for host in bench.hosts)


def test_without_any_sweep_the_callback_rolls_back_an_operation_with_a_failing_host(bench: Bench) -> None:
    bench.admin.set_faults({"kind": "refuse", "node": "node3", "group": bench.group})
    operation = bench.start(Action.CREATE)
    bench.worker()
    end = bench.end(operation)
    assert (end.operation.state, end.operation.reason) == (State.ROLLED_BACK, "node3 refused (403)")
    assert bench.holding() == set()


def test_a_callback_that_never_came_is_made_up_for(bench: Bench) -> None:
    bench.beat()
    bench.admin.set_faults({"kind": "refuse", "node": "node3", "group": bench.group})
    bench.admin.set_latency(600, node="node3")  # refuses once the others have written
    worker = bench.worker("forward", queues=OPERATIONS)
    operation = bench.start(Action.CREATE)
    raw: redis.Redis = client(bench.settings)
    left = (celery_key(bench, OPERATIONS), celery_key(bench, "unacked"))
    eventually(
        lambda: raw.llen(celery_key(bench, ROLLBACK)) and not raw.exists(*left), "every header is done"
    )
    worker.stop()
    raw.delete(celery_key(bench, ROLLBACK))  # with the callback in it
    assert bench.read(operation).state is State.ROLLING_BACK
    bench.worker("next")
    assert bench.end(operation).operation.state is State.ROLLED_BACK


def test_no_task_leaves_a_result(bench: Bench) -> None:
    """The record has what came of it."""
    bench.run_all()
    operation = bench.start(Action.CREATE)
    assert bench.end(operation).operation.state is State.COMMITTED
    raw: redis.Redis = client(bench.settings)
    left = (celery_key(bench, OPERATIONS), celery_key(bench, ROLLBACK), celery_key(bench, "unacked"))
    eventually(lambda: not raw.exists(*left), "every message was served")
    assert not raw.keys(celery_key(bench, "celery-task-meta-*"))


def test_a_callback_delivered_twice_decides_once(bench: Bench) -> None:
    bench.admin.set_faults({"kind": "refuse", "node": "node3", "group": bench.group})
    operation = bench.start(Action.CREATE)
    for _ in range(3):
        publish_conclude(bench.app, operation, bench.group)
    bench.run_all()
    end = bench.end(operation)
    for _ in range(2):
        publish_conclude(bench.app, operation, bench.group)
    raw: redis.Redis = client(bench.settings)
    eventually(lambda: raw.llen(celery_key(bench, ROLLBACK)) == 0, "the late callbacks were taken")
    assert bench.read(operation) == end.operation
    assert all(bench.effects(host) in (["POST", "DELETE"], []) for host in bench.hosts)


def test_two_beats_do_no_harm(bench: Bench) -> None:
    bench.beat()
    bench.child("second-beat", ["-m", "celery", "-A", "lockstep", "beat"])
    bench.worker()
    operation = bench.accept(Action.CREATE)
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    assert all(bench.effects(host) == ["POST"] for host in bench.hosts)


def test_sigterm_starts_no_further_call_and_leaves_nothing_unacknowledged(bench: Bench) -> None:
    bench.admin.set_latency(700)
    bench.beat()
    worker = bench.worker()
    operation = bench.start(Action.CREATE)
    eventually(bench.admin.history, "a call is under way")
    worker.terminate()
    eventually(lambda: not worker.running, "the worker is out", bench.settings.call_timeout + 5)
    assert {entry.method for entry in bench.history()} == {"GET"}
    raw: redis.Redis = client(bench.settings)
    assert raw.zcard(celery_key(bench, "unacked_index")) == 0
    assert raw.llen(celery_key(bench, OPERATIONS)) == len(bench.hosts)
    bench.admin.set_latency(None)
    bench.worker("next")
    assert bench.end(operation).operation.state is State.COMMITTED


def test_prefork_works_and_stops_the_same_way(bench: Bench) -> None:
    bench.admin.set_latency(700)
    bench.beat()
    worker = bench.worker(options=["-P", "prefork", "-c", "3"])
    operation = bench.start(Action.CREATE)
    eventually(bench.admin.history, "a call is under way")
    worker.terminate()
    eventually(lambda: not worker.running, "the worker is out", bench.settings.call_timeout + 5)
    raw: redis.Redis = client(bench.settings)
    assert raw.zcard(celery_key(bench, "unacked_index")) == 0
    bench.admin.set_latency(None)
    bench.worker("next", options=["-P", "prefork", "-c", "3"])
    assert bench.end(operation).operation.state is State.COMMITTED
    assert all(bench.effects(host) == ["POST"] for host in bench.hosts)
