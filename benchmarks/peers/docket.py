"""pydocket: tasks on a Redis stream, delivered at least once, on asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from docket import Docket  # type: ignore[import-not-found]

from benchmarks.peers.peer import PATIENCE, REDIS_URL, Command, Peer, Place, redis_url

PROCESSES = 2
AT_ONCE = 32
"""With a hundred its workers run out of connections, of which their pool has a hundred too."""
WAITED_FOR = 50
"""Results waited for at once: each takes a connection, and its pool has a hundred."""
NAME = "bench"


def workers(place: Place) -> tuple[Command, ...]:
    """Two workers of 32 tasks each."""
    command = [sys.executable, "-m", "docket", "worker", "--docket", NAME, "--url", place.env[REDIS_URL]]
    options = ["--tasks", "benchmarks.peers.docket:tasks", "--concurrency", str(AT_ONCE)]
    quiet = ["--logging-level", "INFO"]
    return tuple(
        Command(
            f"worker{number}", [*command, *options, *quiet, "--name", str(number)], place, "Starting worker"
        )
        for number in range(PROCESSES)
    )


PEER = Peer(
    title=f"pydocket, {PROCESSES} x {AT_ONCE}",
    http="aiohttp",
    keeps="messages: what was not finished is delivered again",
    workers=workers,
)


async def create(url: str, group: str) -> bool:
    """Create the group on one host."""
    from benchmarks.peers.nonblocking import calls

    return await calls().create(url, group)


async def undo(url: str, group: str) -> bool:
    """Delete it again."""
    from benchmarks.peers.nonblocking import calls

    return await calls().undo(url, group)


tasks = [create, undo]


class Producer:
    """Adds a task per host and waits for each result."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._docket = Docket(name=NAME, url=redis_url())
        self._loop.run_until_complete(self._docket.__aenter__())

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Add all tasks at once."""
        return group, hosts, self._loop.run_until_complete(self._add(create, group, hosts))

    def finish(self, job: Any) -> bool:
        """Gather the results, and undo what was done where one failed."""
        return self._loop.run_until_complete(self._finish(*job))

    def close(self) -> None:
        """Close every connection."""
        self._loop.run_until_complete(self._docket.__aexit__(None, None, None))
        self._loop.close()

    async def _finish(self, group: str, hosts: Sequence[str], handed: Any) -> bool:
        said = await self._results(handed)
        if all(said):
            return True
        done = [host for host, created in zip(hosts, said, strict=True) if created]
        await self._results(await self._add(undo, group, done))
        return False

    async def _add(self, task: Any, group: str, hosts: Sequence[str]) -> Any:
        return await self._docket.add_many([self._docket.call(task)(host, group) for host in hosts])

    async def _results(self, handed: Any) -> list[bool]:
        waited = timedelta(seconds=PATIENCE)
        said: list[bool] = []
        for first in range(0, len(handed), WAITED_FOR):
            some = handed[first : first + WAITED_FOR]
            said += await asyncio.gather(*(each.get_result(timeout=waited) for each in some))
        return said


def open_producer() -> Producer:
    """Connect."""
    return Producer()
