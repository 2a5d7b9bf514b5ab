"""The primary behind one name becomes a replica and cuts no connection: everybody finds the new one.

That is how managed Redis is maintained: nothing dies, and connections that stand lead to the wrong server.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK
from lockstep.worker.operation.errors import LockstepError, StoreUnavailable
from lockstep.worker.operation.story import Result
from tests.integration.redis_servers.names import Name
from tests.integration.redis_servers.servers import Replicated
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually
from tests.warm import WarmCluster

AWAY = 3.0
"""Seconds for which the name leads to a replica, as while DNS still has the old answer."""
WITHIN = 10.0
LINES_A_SECOND = 12
"""Warnings and errors of all kinds together, of one process: two of each kind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, its replica, and the name that leads to the primary."""

    first: Replicated
    second: Replicated
    name: Name

    def fail_over(self) -> None:
        """Have the second take over; the name follows only later."""
        with self.first.client() as old, self.second.client() as new:
            new.replicaof("NO", "ONE")
            old.replicaof(LOOPBACK, str(self.second.port))
        eventually(self.first.in_sync, "the old primary follows the new one")

    def move_name(self) -> None:
        """Have the name lead to the new primary."""
        self.name.leads_to = self.second.port


@pytest.fixture
def guard() -> Iterator[Guard]:
    with closing(Guard()) as guard:
        yield guard


@pytest.fixture
def pair(tmp_path: Path, guard: Guard) -> Iterator[Pair]:
    first = Replicated(tmp_path / "first", guard)
    first.start()
    second = Replicated(tmp_path / "second", guard, first)
    second.start()
    eventually(second.in_sync, "the replica is in sync")
    with closing(Name(first.port)) as name:
        yield Pair(first, second, name)


@pytest.fixture
def bench(tmp_path: Path, guard: Guard, pair: Pair) -> Iterator[Bench]:
    cluster = WarmCluster(tmp_path, 3, guard=guard)
    cluster.start()
    with closing(Bench(pair.first, cluster, guard, tmp_path / "bench", {"redis_url": pair.name.url})) as made:
        yield made


@pytest.fixture
def processes(bench: Bench) -> list[Child]:
    """A worker for each queue, and beat."""
    return [
        bench.beat(),
        bench.worker("forward", queues="operations"),
        bench.worker("back", queues="rollback"),
    ]


def committed(cluster: ClusterClient, group: str) -> bool:
    """Try once to have a group created."""
    try:
        return cluster.create_group(group).wait(timeout=5).committed
    except LockstepError:
        return False


def warnings_by_second(child: Child) -> Counter[str]:
    """How many warnings and errors a process wrote in each second."""
    return Counter(re.findall(r"^\[(\S+ [\d:]+),\d+: (?:WARNING|ERROR|CRITICAL)/", child.output(), re.M))


def test_a_planned_failover_is_over_soon_after_the_name_has_moved(
    pair: Pair, bench: Bench, processes: list[Child]
) -> None:
    came: list[Result] = []

    async def wait_for(operation: Operation) -> None:
        came.append(await operation.wait_async(timeout=PATIENCE))

    with ClusterClient(bench.settings) as cluster, ClusterClient(bench.settings) as own:
        assert cluster.create_group("before").wait(timeout=PATIENCE).committed
        bench.admin.down("node1")
        open_one = cluster.create_group("meanwhile")
        awaited = own.operation(open_one.id)
        waiters = [
            threading.Thread(target=lambda: came.append(open_one.wait(timeout=PATIENCE)), daemon=True),
            threading.Thread(target=lambda: asyncio.run(wait_for(awaited)), daemon=True),
        ]
        for waiter in waiters:
            waiter.start()
        eventually(lambda: bench.history("node2", open_one.group), "it runs")
        pair.fail_over()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="replica"):
            cluster.create_group("too-early")
        while time.monotonic() < began + AWAY:
            assert not committed(cluster, "too-early")
        bench.admin.up("node1")
        pair.move_name()
        moved = time.monotonic()

        # A client that has lived through it, and one that has not.
        eventually(lambda: committed(cluster, "after"), "a group is created again", WITHIN)
        with ClusterClient(bench.settings) as another:
            assert another.create_group("later").wait(timeout=WITHIN).committed
        assert time.monotonic() - moved < WITHIN
        for waiter in waiters:
            waiter.join(60)
        assert [result.state for result in came] == [came[0].state] * 2
        assert all(child.running for child in processes)
    for child in processes:
        assert max(warnings_by_second(child).values(), default=0) <= LINES_A_SECOND, child.output()
