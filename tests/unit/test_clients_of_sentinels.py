"""Clients that ask Sentinels for the primary: whom they ask, as whom, and how patiently. Nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.sentinel import SentinelConnectionPool

from lockstep.worker.connection import RETRIES, client, impatient_client, primary
from lockstep.worker.connection.primary import MOST
from lockstep.worker.settings import Settings

URL = "://me:canary@a:5000,b/2?master=main&sentinel_username=watcher&sentinel_password=own"


def settings(scheme: str, tmp_path: Path) -> Settings:
    authority = tmp_path / "ca.pem"
    authority.touch()
    tls = {"redis_ca_file": str(authority)} if scheme == "sentinels" else {}
    return Settings(redis_url=scheme + URL, redis_timeout=3.0, redis_connect_timeout=2.0, **tls)


def asked(pool: Any) -> list[dict[str, Any]]:
    """How each Sentinel is reached."""
    return [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]


@pytest.mark.parametrize(
    ("scheme", "kind"), [("sentinel", primary.FoundPrimary), ("sentinels", primary.FoundTlsPrimary)]
)
def test_a_client_asks_each_sentinel_once_for_the_primary(scheme: str, kind: type, tmp_path: Path) -> None:
    pool: Any = client(settings(scheme, tmp_path)).connection_pool
    assert (pool.service_name, pool.is_master, pool.connection_class) == ("main", True, kind)
    assert [(each["host"], each["port"]) for each in asked(pool)] == [("a", 5000), ("b", 26379)]
    for each in asked(pool):
        assert (each["username"], each["password"]) == ("watcher", "own")
        assert (each["socket_timeout"], each["socket_connect_timeout"]) == (3.0, 2.0)
        assert each["retry"].get_retries() == 0, "there are others"
        assert each.get("ssl_check_hostname") is (True if scheme == "sentinels" else None)
    to_primary = pool.connection_kwargs
    assert (to_primary["username"], to_primary["password"]) == ("me", "canary")
    assert (to_primary["db"], to_primary["decode_responses"]) == (2, True)
    assert "host" not in to_primary, "it is where the Sentinels say"


def test_threads_share_so_many_connections_and_one_that_was_dropped_is_tried_again(tmp_path: Path) -> None:
    made = client(settings("sentinel", tmp_path))
    pool: Any = made.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.max_connections == MOST
    assert pool.connection_kwargs["retry"].get_retries() == RETRIES
    assert client(settings("sentinel", tmp_path), most=3).connection_pool.max_connections == 3


def test_who_must_not_wait_gives_up_soon_and_tries_nothing_again(tmp_path: Path) -> None:
    pool: Any = impatient_client(settings("sentinel", tmp_path), 1.0).connection_pool
    assert pool.connection_kwargs["retry"].get_retries() == 0
    assert pool.connection_kwargs["socket_timeout"] == 1.0
    assert [each["socket_connect_timeout"] for each in asked(pool)] == [1.0, 1.0]
