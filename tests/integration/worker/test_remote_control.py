"""Celery's control commands in the middle of an operation: they cost time, and never the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep.mock_api.admin import Fault
from lockstep.worker.celery import OPERATIONS, ROLLBACK, TaskName
from lockstep.worker.operation.model import Action, State
from tests.integration.worker.conftest import Parts
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually

DEADLINE = {"deadline": "20"}
"""What no worker takes any more is rolled back then."""
AT_ONCE = {"threads": 8, "prefork": 4}
"""Tasks: one for each host and more, of a pool of processes as few as do."""
Order = Callable[[Any, list[str]], object]
ORDERS: dict[str, Order] = {
    "revoke": lambda control, ids: control.revoke(ids, reply=True),
    "terminate": lambda control, ids: control.terminate(ids, signal="KILL", reply=True),
    "cancel_consumer": lambda control, ids: control.cancel_consumer(OPERATIONS, reply=True),
    "cancel_consumer of rollback": lambda control, ids: control.cancel_consumer(ROLLBACK, reply=True),
    "rate_limit": lambda control, ids: control.rate_limit(TaskName.CREATE_GROUP, "1/h", reply=True),
    "rate_limit of rollback": lambda control, ids: [
        control.rate_limit(task, "30/m", reply=True) for task in (TaskName.CONCLUDE, TaskName.ROLLBACK_CREATE)
    ],
    "pool_shrink": lambda control, ids: control.pool_shrink(AT_ONCE["prefork"] - 1, reply=True),
    "shutdown": lambda control, ids: control.shutdown(),
}


@pytest.fixture
def obeying(shared: Parts, tmp_path: Path) -> Iterator[Bench]:
    """A bench that has a deadline soon; its workers are to do what they are told."""
    made = Bench(*shared, tmp_path / "bench", {**DEADLINE, "remote_control": "full"})
    try:
        yield made
    finally:
        made.close()


PREFORK = ("terminate", "pool_shrink", "shutdown")
"""Orders that mean something else, or anything at all, to a pool of processes."""


@pytest.mark.parametrize(
    ("order", "pool"), [*((order, "threads") for order in ORDERS), *((order, "prefork") for order in PREFORK)]
)
def test_an_operation_ends_as_promised_whatever_workers_are_told(
    obeying: Bench, order: str, pool: str
) -> None:
    bench = obeying
    bench.beat()
    for queue in (OPERATIONS, ROLLBACK):
        bench.keep_running(queue, queues=queue, options=["-P", pool, "-c", str(AT_ONCE[pool])])
    control: Any = bench.app.control
    eventually(lambda: len(control.ping(timeout=0.5)) == 2, "both workers are ready")
    bench.admin.set_latency(200)
    busy: Fault = {"kind": "throttle", "status": 429, "retry_after": 1, "methods": ["GET"]}
    bench.admin.add_faults(busy, node="node3")
    operation = bench.start(Action.CREATE)
    ids = eventually(lambda: under_way(control), "tasks are under way")
    eventually(bench.holding, "a host is changed")
    told = ORDERS[order](control, ids)
    bench.admin.set_faults(node="node3")
    assert told or order == "shutdown"
    end = bench.end(operation, patience=90)
    assert end.operation.state in (State.COMMITTED, State.ROLLED_BACK)
    assert bench.holding() == (set(bench.hosts) if end.operation.state is State.COMMITTED else set())


def test_what_is_to_be_undone_waits_until_a_worker_takes_it_again(obeying: Bench) -> None:
    bench = obeying
    bench.beat()
    bench.worker("forward", queues=OPERATIONS)
    bench.worker("backward", queues=ROLLBACK)
    control: Any = bench.app.control
    eventually(lambda: control.cancel_consumer(ROLLBACK, reply=True), "both have heard it")
    eventually(lambda: bench.store.queue_length(ROLLBACK) > 1, "sweeps wait, which nobody takes")
    bench.admin.down("node3")
    operation = bench.start(Action.CREATE)
    eventually(lambda: len(bench.holding()) == 2, "the other hosts are changed")
    assert bench.store.cancel(operation, "half way") is None
    bench.admin.up("node3")
    eventually(lambda: bench.read(operation).state is State.ROLLING_BACK, "it is decided")
    assert len(bench.holding()) == 2
    eventually(lambda: control.add_consumer(ROLLBACK, reply=True), "both have heard it")
    assert bench.end(operation).operation.state is State.ROLLED_BACK
    assert bench.holding() == set()


def under_way(control: Any) -> list[str]:
    """Return the ids of the tasks that workers have, those that wait to be tried again among them."""
    held = control.inspect(timeout=0.5)
    return [
        task.get("request", task)["id"]
        for tasks in (held.active() or {}, held.reserved() or {}, held.scheduled() or {})
        for each in tasks.values()
        for task in each
    ]


def test_by_default_a_worker_refuses_them(bench: Bench) -> None:
    worker = bench.worker()
    control: Any = bench.app.control
    eventually(lambda: control.ping(timeout=0.5), "it hears what is said to all")
    refused = {"revoke", "cancel_consumer", "rate_limit", "pool_shrink", "shutdown"}

    def all_are() -> bool:
        for (
            order
        ) in ORDERS.values():  # again: Redis keeps no broadcast for a worker that connects anew just then
            order(control, ["0"])
        return all(f"remote control '{name}' is refused" in worker.output() for name in refused)

    eventually(all_are, lambda: f"all are refused in {worker.output()}", latest=1.0)
    assert "Traceback" not in worker.output()
    told = control.broadcast("cancel_consumer", {"queue": OPERATIONS}, reply=True, timeout=PATIENCE, limit=1)
    assert "is refused" in str(told)
    serving = eventually(lambda: control.inspect(timeout=1).active_queues(), "it says what it serves")
    assert {queue["name"] for each in serving.values() for queue in each} == {OPERATIONS, ROLLBACK}
    operation = bench.start(Action.CREATE)
    assert bench.end(operation).operation.state is State.COMMITTED
