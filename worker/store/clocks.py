"""By how much the wall clocks of workers and of beat differ from Redis'. Nothing but reports looks at it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping

import redis

from worker.operation.errors import StoreFull, StoreUnavailable
from worker.store.causes import store_errors
from worker.store.keys import Keys

EVERY = 15.0
"""Seconds between two reports of a process."""
FORGOTTEN = 60_000
"""Milliseconds after which a report says nothing any more: the process has ended."""
SLOW = 1.0
"""Seconds; an answer of Redis that took longer says too little about the time."""


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

    def tell(self, process: str) -> None:
        """Report this machine's clock, and drop what ended processes reported. Raises StoreUnavailable."""
        ahead = self.ahead()
        if ahead is None:
            return
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, _), kept = pipe.execute()
            now = seconds * 1000
            pipe.hset(self._key, process, json.dumps({"ahead": ahead, "at": now}))
            old = [name for name in kept if name != process and name not in reported(kept, now)]
            if old:
                pipe.hdel(self._key, *old)
            pipe.execute()

    def all(self) -> dict[str, int]:
        """Return the milliseconds by which each process' clock is ahead. Raises StoreUnavailable."""
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, _), kept = pipe.execute()
        return reported(kept, seconds * 1000)

    def tell_for_ever(self, process: str) -> None:
        """Report in a thread of its own until the process ends; what cannot be told now is told later."""

        def run() -> None:
            while True:
                with contextlib.suppress(StoreUnavailable, StoreFull):
                    self.tell(process)
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
