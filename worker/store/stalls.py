"""Which workers have stood still, kept for a day: the process that did is gone, and another has its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import redis

from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.damage import Fields, readable
from lockstep.worker.store.keys import Keys

KEPT = 86_400_000
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The last time that a worker stood still and ended itself."""

    worker: str
    ago: int
    """Milliseconds."""
    why: str


class Stalls:
    """The stalls on one Redis client. Every method raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.stalled

    def note(self, worker: str, why: str) -> None:
        """Keep that a worker stands still at this moment."""
        with store_errors():
            at = _millis(self._client.time())
            with self._client.pipeline(transaction=False) as pipe:
                pipe.hset(self._key, worker, json.dumps({"at": at, "why": why}))
                pipe.pexpire(self._key, KEPT)
                pipe.execute()

    def all(self) -> list[Stall]:
        """Return the stalls of the last day, by worker."""
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            time, kept = pipe.execute()
        return stalls(self._key, kept, _millis(time))


def stalls(key: str, kept: Mapping[str, str], now: int) -> list[Stall]:
    """Return the stalls of the last day, by worker, from what is kept."""

    def stall(worker: str, text: str) -> Stall:
        said = Fields.of(text)
        return Stall(worker, now - said.number("at"), said.text("why"))

    found = readable("stall", key, kept, stall)
    return [found[worker] for worker in sorted(found) if found[worker].ago < KEPT]


def _millis(time: tuple[int, int]) -> int:
    return time[0] * 1000 + time[1] // 1000
