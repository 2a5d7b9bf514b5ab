# mypy: disallow-untyped-decorators=False
"""taskiq: tasks on a Redis stream with acknowledgements, on asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from taskiq import gather  # type: ignore[import-not-found]
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # type: ignore[import-not-found]

from benchmarks.peers.peer import PATIENCE, Command, Peer, Place, redis_url

PROCESSES = 2
AT_ONCE = 100
LOOK_EVERY = 0.1

broker = RedisStreamBroker(redis_url()).with_result_backend(RedisAsyncResultBackend(redis_url()))


def workers(place: Place) -> tuple[Command]:
    """One worker with its two processes of a hundred tasks each."""
    options = ["--workers", str(PROCESSES), "--max-async-tasks", str(AT_ONCE)]
    command = [sys.executable, "-m", "taskiq", "worker", "benchmarks.peers.taskiq:broker", *options]
    return (Command("worker", command, place, "Listening started", PROCESSES),)


PEER = Peer(
    title=f"taskiq, {PROCESSES} x {AT_ONCE}",
    http="aiohttp",
    keeps="messages: what was not acknowledged is delivered again after ten minutes",
    workers=workers,
)


@broker.task
async def create(url: str, group: str) -> bool:
    """Create the group on one host."""
    from benchmarks.peers.nonblocking import calls

    return await calls().create(url, group)


@broker.task
async def undo(url: str, group: str) -> bool:
    """Delete it again."""
    from benchmarks.peers.nonblocking import calls

    return await calls().undo(url, group)


class Producer:
    """Sends a task per host and gathers the results."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(broker.startup())

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Send all tasks."""
        return group, hosts, self._loop.run_until_complete(self._send(create, group, hosts))

    def finish(self, job: Any) -> bool:
        """Gather the results, and undo what was done where one failed."""
        return self._loop.run_until_complete(self._finish(*job))

    def close(self) -> None:
        """Close every connection."""
        self._loop.run_until_complete(broker.shutdown())
        self._loop.close()

    async def _finish(self, group: str, hosts: Sequence[str], sent: Any) -> bool:
        said = await self._results(sent)
        if all(said):
            return True
        done = [host for host, created in zip(hosts, said, strict=True) if created]
        await self._results(await self._send(undo, group, done))
        return False

    async def _send(self, task: Any, group: str, hosts: Sequence[str]) -> Any:
        return await asyncio.gather(*(task.kiq(host, group) for host in hosts))

    async def _results(self, sent: Any) -> list[bool]:
        gathered = await gather(*sent, timeout=PATIENCE, periodicity=LOOK_EVERY)
        return [result.return_value for result in gathered]


def open_producer() -> Producer:
    """Connect."""
    return Producer()
