"""One Redis for all tests of the broker layer, empty for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Transport as Stock

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.celery.broker.transport import Transport
from tests.integration.broker.readers import PREFIX, Open


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def kept(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def connect(server: RedisServer, kept: redis.Redis) -> Iterator[Open]:
    opened = []

    def connection(transport: type[Stock] = Transport, **options: Any) -> Connection:
        options = {"global_keyprefix": PREFIX, "sep": ":", **options}
        opened.append(Connection(server.url, transport=transport, transport_options=options))
        return opened[-1]

    yield connection
    for each in opened:
        each.release()
