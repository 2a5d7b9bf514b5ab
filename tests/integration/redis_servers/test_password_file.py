"""A password of Redis that is replaced, in the server and in its file, while everything runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from lockstep import ClusterClient
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import Action, GroupId, State
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE
from tests.warm import WarmCluster

NAME = "lockstep-all"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis", password="admin-password") as running:
        yield running


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def bench(tmp_path: Path, server: RedisServer, admin: redis.Redis) -> Iterator[Bench]:
    with closing(Guard()) as guard:
        cluster = WarmCluster(tmp_path, 3, guard=guard)
        cluster.start()
        replace(admin, tmp_path / "password", "the-first-password")
        given = {
            "redis_url": f"redis://127.0.0.1:{server.port}/0",
            "redis_username": NAME,
            "redis_password_file": str(tmp_path / "password"),
        }
        with closing(Bench(server, cluster, guard, tmp_path / "bench", given)) as made:
            yield made


def replace(admin: Any, file: Path, password: str) -> None:
    admin.execute_command("ACL", "SETUSER", NAME, "on", "resetpass", f">{password}", "~*", "&*", "+@all")
    file.write_text(f"{password}\n")
    admin.execute_command("CLIENT", "KILL", "USER", NAME)


def test_whoever_is_cut_off_comes_back_with_the_password_of_now(bench: Bench, admin: redis.Redis) -> None:
    bench.beat()
    worker = bench.worker()
    file = Path(bench.settings.redis_password_file)
    with ClusterClient(bench.settings) as cluster:
        assert cluster.create_group("before").wait(timeout=PATIENCE).committed
        for password in ("the-second-password", "the-third-password"):
            replace(admin, file, password)
            assert cluster.create_group(password).wait(timeout=PATIENCE).committed
        assert asyncio.run(cluster.create_group("in-asyncio").wait_async(timeout=PATIENCE)).committed
    assert bench.end(bench.start(Action.DELETE, GroupId("before"))).operation.state is State.COMMITTED
    assert worker.starts == 1
    assert not re.search("the-(first|second|third)-password", worker.output())
