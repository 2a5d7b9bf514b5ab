"""The calls of a job on asyncio, with aiohttp, or in threads where every candidate is to use `requests`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import aiohttp  # type: ignore[import-not-found]

from benchmarks.peers import blocking
from benchmarks.peers.peer import Http, http

THREADS = 32
"""As many as a worker of Lockstep has."""


IDLE = 1.0
"""Seconds for which a connection that nobody uses is kept."""


class Calls:
    """One client of a process; made inside its event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS) if http() is Http.SESSION else None
        # Idle connections to ten thousand hosts would be more open files than many systems allow.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE)
        self._session = aiohttp.ClientSession(connector=connector)

    async def create(self, url: str, group: str) -> bool:
        """Create the group on one host; False if it is there already, or the host refuses."""
        if self._threads is not None:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: blocking.create(blocking.session(), url, group)
            )
        async with self._session.get(f"{url}/v1/group/{group}/") as said:
            await said.read()
            if said.status != 404:
                return False
        async with self._session.post(f"{url}/v1/group/", json={"groupId": group}) as said:
            await said.read()
            return bool(said.status == 201)

    async def undo(self, url: str, group: str) -> bool:
        """Delete the group from one host."""
        if self._threads is not None:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: blocking.undo(blocking.session(), url, group)
            )
        async with self._session.delete(f"{url}/v1/group/", json={"groupId": group}) as said:
            await said.read()
            return bool(said.status == 200)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


_calls: list[Calls] = []


def calls() -> Calls:
    """Return this process's client."""
    if not _calls:
        _calls.append(Calls())
    return _calls[0]
