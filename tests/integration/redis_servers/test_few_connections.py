"""A Redis that takes few connections: everybody gets through, and what is idle gives its own back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import GroupId, State
from tests.integration.worker.harness import Bench
from tests.waits import eventually
from tests.warm import WarmCluster

FEW = 40
CALLERS = 12
AT_REST = 16
"""Connections of two workers and beat that have nothing to do, and one that counts."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(Guard()) as guard:
        (tmp_path / "redis").mkdir()
        server = RedisServer(tmp_path / "redis", guard=guard, options=["--maxclients", str(FEW)])
        server.start()
        cluster = WarmCluster(tmp_path, 3, guard=guard)
        cluster.start()
        with closing(Bench(server, cluster, guard, tmp_path / "bench")) as made:
            yield made


@pytest.fixture
def counting(bench: Bench) -> Iterator[redis.Redis]:
    """A connection that is there before all others: whoever comes to a full Redis to count is refused too."""
    with redis.Redis.from_url(bench.redis.url, single_connection_client=True) as client:
        yield client


def connections(counting: redis.Redis) -> list[str]:
    """Who is connected, and what each did last."""
    return [f"{each['cmd']} {each['idle']} {each['lib-name']}" for each in counting.client_list()]


def test_more_callers_than_connections_all_get_their_answer_and_what_is_idle_is_given_back(
    bench: Bench, counting: redis.Redis
) -> None:
    bench.beat()
    bench.worker("forward", queues="operations")
    bench.worker("back", queues="rollback")

    def create(number: int) -> State:
        with ClusterClient(bench.settings) as own:
            return own.create_group(f"team-{number}").wait(timeout=90).state

    with ThreadPoolExecutor(CALLERS) as pool:
        assert set(pool.map(create, range(CALLERS))) == {State.COMMITTED}
    for number in range(CALLERS):
        assert bench.holding(GroupId(f"team-{number}")) == set(bench.cluster.nodes)
    eventually(lambda: len(connections(counting)) <= AT_REST, "idle connections are closed")
