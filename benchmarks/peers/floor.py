"""The floor: one asyncio client with bounded parallelism. No queue, no workers, nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from benchmarks.peers.peer import Peer

AT_ONCE = 200

PEER = Peer(
    title="floor (asyncio)",
    http="aiohttp + uvloop",
    keeps="nothing",
    workers=lambda place: (),
    redis=False,
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done; nobody else has it."""

    group: str
    hosts: Sequence[str]


class Floor:
    """Does the job itself."""

    def __init__(self) -> None:
        import uvloop  # type: ignore[import-not-found]

        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()

    def publish(self, group: str, hosts: Sequence[str]) -> Job:
        """There is nobody to hand it to."""
        return Job(group, hosts)

    def finish(self, job: Job) -> bool:
        """Do it, and undo it where a host refuses."""
        return self._loop.run_until_complete(self._run(job))

    def close(self) -> None:
        """Close every connection."""
        from benchmarks.peers.nonblocking import calls

        async def end() -> None:
            await calls().close()

        self._loop.run_until_complete(end())
        self._loop.close()

    async def _run(self, job: Job) -> bool:
        from benchmarks.peers.nonblocking import calls

        said = await self._all(calls().create, job.hosts, job.group)
        if all(said):
            return True
        done = [host for host, created in zip(job.hosts, said, strict=True) if created]
        await self._all(calls().undo, done, job.group)
        return False

    async def _all(
        self, call: Callable[[str, str], Coroutine[None, None, bool]], hosts: Sequence[str], group: str
    ) -> list[bool]:
        """Call every host, so many at once."""
        said = dict.fromkeys(hosts, False)
        left = iter(hosts)

        async def work() -> None:
            for host in left:
                said[host] = await call(host, group)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return list(said.values())


def open_producer() -> Floor:
    """Make a loop."""
    return Floor()
