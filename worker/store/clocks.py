"""What workers and beat report of themselves: by how much their wall clock differs from Redis', and which
inventory they have. Nothing but what people read looks at it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from lockstep.worker.operation.errors import StoreFull, StoreUnavailable
from lockstep.worker.operation.model import Millis
from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.keys import Keys

EVERY = 15.0
"""Seconds between two reports of a process."""
FORGOTTEN = 60_000
"""Milliseconds after which a report says nothing any more: the process has ended."""
SLOW = 1.0
"""Seconds; an answer of Redis that took longer says too little about the time."""


@dataclass(frozen=True, slots=True)
class Held:
    """The inventory that a process has."""

    digest: str
    """Twelve characters, which differ where names or URLs of hosts do."""
    hosts: int
    read_at: Millis
    """When it was read, by Redis' clock."""
    fault: str = ""
    """Why the file as it is now was not taken."""


Has = Callable[[], tuple[str, int, float, str] | None]
"""Tells the digest of this process's inventory, how many hosts it has, how many seconds ago it was read, and
why its file as it is now was not taken ("" if it was); None if there is no inventory."""


class Clocks:
    """The reports on one Redis client."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.clocks

    def ahead(self) -> int | None:
        """Return the milliseconds by which this machine's clock is ahead of Redis'; None if it cannot tell.

        Raises StoreUnavailable.
        """
        wall, begun = time.time(), time.monotonic()
        with store_errors():
            seconds, micros = self._client.time()
        took = time.monotonic() - begun
        return None if took > SLOW else round((wall + took / 2 - seconds - micros / 1e6) * 1000)

    def tell(self, process: str, has: Has = lambda: None) -> None:
        """Report this process, and drop what ended processes reported. Raises StoreUnavailable."""
        ahead, held = self.ahead(), has()
        if ahead is None:
            return
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, _), kept = pipe.execute()
            now = seconds * 1000
            report: dict[str, object] = {"ahead": ahead, "at": now}
            if held is not None:
                digest, hosts, age, fault = held
                report["inventory"] = [digest, hosts, now - round(age * 1000), fault]
            pipe.hset(self._key, process, json.dumps(report))
            old = [name for name in kept if name != process and name not in reported(kept, now)]
            if old:
                pipe.hdel(self._key, *old)
            pipe.execute()

    def all(self) -> dict[str, int]:
        """Return the milliseconds by which each process' clock is ahead. Raises StoreUnavailable."""
        kept, now = self._read()
        return reported(kept, now)

    def inventories(self) -> dict[str, Held]:
        """Return the inventory of each process that has one. Raises StoreUnavailable."""
        kept, now = self._read()
        found = {}
        for process in reported(kept, now):
            if (told := json.loads(kept[process]).get("inventory")) is not None:
                digest, hosts, read_at, fault = told
                found[process] = Held(str(digest), int(hosts), Millis(int(read_at)), str(fault))
        return found

    def _read(self) -> tuple[Mapping[str, str], int]:
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, _), kept = pipe.execute()
        return kept, seconds * 1000

    def tell_for_ever(self, process: str, has: Has = lambda: None) -> None:
        """Report in a thread of its own until the process ends; what cannot be told now is told later."""

        def run() -> None:
            while True:
                with contextlib.suppress(StoreUnavailable, StoreFull):
                    self.tell(process, has)
                time.sleep(EVERY)

        threading.Thread(target=run, name="clock", daemon=True).start()


def reported(kept: Mapping[str, str], now: int) -> dict[str, int]:
    """Return what is reported, by process, without what is old or cannot be read."""
    found = {}
    for process, text in sorted(kept.items()):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            told = json.loads(text)
            if now - int(told["at"]) <= FORGOTTEN:
                found[process] = int(told["ahead"])
    return found
