"""A bench for every store, and a real server behind the one on Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.record.link import Link
from lockstep.worker.settings import load_settings
from tests.contract.bench import PREFIX, Bench, ClockedRedis, MemoryBench, RedisBench, StillBench
from tests.contract.driver import Driver
from tests.contract.waves import TWO, accepted
from tests.wrong_clock import library, sweep_up


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedRedis]:
    """A server that keeps what it acknowledges, as in production."""
    with ClockedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running
    sweep_up()


@pytest.fixture(scope="session")
def shared_client(server: RedisServer) -> Iterator[redis.Redis]:
    """One client for the session: connecting anew for each test would take longer than the tests."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def client(shared_client: redis.Redis) -> redis.Redis:
    """A client of an empty database without a memory limit."""
    shared_client.config_set("maxmemory", 0)
    shared_client.flushall()
    return shared_client


@pytest.fixture
def redis_bench(client: redis.Redis, server: ClockedRedis) -> RedisBench:
    """The store on Redis."""
    return RedisBench(client, server.clock)


@pytest.fixture(params=["redis", "memory"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each store in turn."""
    if request.param == "memory":
        return MemoryBench()
    found: RedisBench = request.getfixturevalue("redis_bench")
    return found


@pytest.fixture
def still_redis(client: redis.Redis, server: ClockedRedis) -> Iterator[RedisBench]:
    """The store on Redis; its clock stands still until a test moves it, where libfaketime is installed."""
    if server.clock is None:
        yield RedisBench(client, None)
        return
    found = StillBench(client, server.clock)
    yield found
    found.go_on()


@pytest.fixture(params=["redis", "memory"] if library() else ["memory"])
def still(request: pytest.FixtureRequest) -> Bench:
    """Each store in turn, under a clock that stands still until a test moves it."""
    if request.param == "memory":
        return MemoryBench()
    found: RedisBench = request.getfixturevalue("still_redis")
    return found


@pytest.fixture
def memory() -> MemoryBench:
    """The twin alone: where a test looks into it."""
    return MemoryBench()


@pytest.fixture
def create(bench: Bench) -> Driver:
    """An accepted create of group g on the hosts a and b."""
    return Driver(bench).accepted()


@pytest.fixture
def canary(bench: Bench) -> Driver:
    """A create on a, and then on b."""
    return accepted(bench, TWO)


@pytest.fixture
def link(server: RedisServer) -> Iterator[Link]:
    """What a client has of the server."""
    with closing(Link(load_settings(redis_url=server.url, key_prefix=PREFIX))) as found:
        yield found
