"""Pools that are bounded, wait, and close what nobody uses."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lockstep.producer.doctor.facts import WORKER_CONNECTIONS
from lockstep.worker.celery import PUBLISHING, make_app
from lockstep.worker.connection import client
from lockstep.worker.connection import primary as pools
from lockstep.worker.settings import Settings
from tests.unit.test_primary import Server, playing
from tests.waits import PATIENCE, eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(playing(b"+fine\r\n"))
    yield made
    made.close()


def test_connections_that_nobody_uses_are_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE", 0.2)
    asked = client(Settings(redis_url=server.url), 4)
    pool = asked.connection_pool
    held = [pool.get_connection() for _ in range(4)]
    assert server.accepted == 4
    for each in held:
        pool.release(each)
    eventually(lambda: not any(each.is_connected for each in held), "they are given back")
    assert asked.get("a") == "fine"  # and the pool has room again
    assert server.accepted == 5
    asked.close()


def test_who_finds_all_in_use_waits_for_one(server: Server) -> None:
    asked = client(Settings(redis_url=server.url), 1)
    pool = asked.connection_pool
    held = pool.get_connection()
    said: list[object] = []
    waiting = threading.Thread(target=lambda: said.append(asked.get("a")))
    waiting.start()
    pool.release(held)
    waiting.join(10)
    assert (said, server.accepted) == (["fine"], 1)
    asked.close()


def test_a_connection_that_could_not_be_made_takes_no_place(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py counts it all the same: a process that was out of open files for a moment was so for good."""
    asked = client(Settings(redis_url=server.url), 2)
    pool = asked.connection_pool
    pool.longest = 0.05  # type: ignore[attr-defined]
    made = pool.connection_class

    def fails(**_: object) -> redis.Connection:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(pool, "connection_class", fails)
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            asked.get("a")
    monkeypatch.setattr(pool, "connection_class", made)
    assert asked.get("a") == "fine"
    asked.close()


def test_who_waits_for_a_connection_too_long_gets_an_error(server: Server) -> None:
    pool = client(Settings(redis_url=server.url), 1).connection_pool
    pool.longest = 0.05  # type: ignore[attr-defined]
    pool.get_connection()
    with pytest.raises(redis.ConnectionError, match="Too many connections"):
        pool.get_connection()
    pool.disconnect()


def test_a_redis_that_is_full_is_waited_for_and_said(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    left = [3]

    def play(command: str) -> bytes:
        if command == "HELLO" and left[0]:
            left[0] -= 1
            return b"-ERR max number of clients reached\r\n"
        return playing(b"+fine\r\n")(command)

    server.play = play
    asked = client(Settings(redis_url=server.url))
    asked.set_retry(redis.retry.Retry(redis.backoff.NoBackoff(), 0))
    assert asked.get("a") == "fine"
    assert [record.getMessage() for record in caplog.records] == [
        "Redis has no connection left (maxclients): waiting 10 s"
    ]
    asked.close()


def test_a_client_that_is_left_to_the_end_of_its_process_does_not_hold_it_up(server: Server) -> None:
    """It is collected at exit, when no thread can be started any more."""
    code = (
        "from lockstep.worker.settings import Settings; import builtins\n"
        "from lockstep.worker.connection import client\n"
        f"made = client(Settings(redis_url={server.url!r})); held = made.client()\n"
        "held.get('a'); builtins.kept = held\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, timeout=PATIENCE, check=False, capture_output=True
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_as_many_as_flower_asks_at_once_leave_each_other_a_connection() -> None:
    """Each question holds one connection while it waits for a second."""
    questions = 9  # eight kinds of them, and one that has workers show themselves by an event
    assert make_app(Settings()).conf.broker_pool_limit > questions


def test_the_runbook_and_doctor_know_how_many_connections_there_are_and_for_how_long() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert WORKER_CONNECTIONS == 2 * pools.MOST + PUBLISHING + 6
    each = f"{pools.MOST} for the record, {pools.MOST} for results, {PUBLISHING} that publish"
    assert f"| worker | 5 | {WORKER_CONNECTIONS}: {each}, 6 that take and listen |" in text
    assert f"What nobody uses for {pools.IDLE:g} s is closed, and who finds none free waits for" in text
