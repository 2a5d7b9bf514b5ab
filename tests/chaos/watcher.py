"""Reads, while all goes on, which hosts the record calls pending; the histories judge it afterwards.

It also promotes what is held, each hold that it has seen twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from lockstep.worker.connection import client
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import HostName, OperationId, State, Status
from lockstep.worker.record.causes import store_errors
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.chaos.orders import Told

EVERY = 0.4
NEWEST = 30
"""Operations looked at; those that have ended are read once, for they change no more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An operation that was rolling back, read just before `at` (Unix seconds)."""

    operation: OperationId
    at: float
    pending: frozenset[HostName]


def newest_of(settings: Settings) -> Callable[[], list[OperationId]]:
    """Return what reads the ids of the newest operations. It raises StoreUnavailable."""
    redis, key = client(settings), Keys(settings.key_prefix).operations

    def newest() -> list[OperationId]:
        with store_errors():
            return cast(list[OperationId], redis.zrevrange(key, 0, NEWEST - 1))

    return newest


class Watcher(threading.Thread):
    """A thread that takes samples."""

    def __init__(self, store: RedisStore, newest: Callable[[], Iterable[OperationId]], told: Told) -> None:
        super().__init__(name="watcher")
        self._told, self._newest = told, newest
        self._ended: set[OperationId] = set()
        self._seen: set[tuple[OperationId, int]] = set()
        self.samples: list[Sample] = []
        self._open: set[OperationId] = set()
        self._store = store
        self._done = threading.Event()

    def stop(self) -> None:
        """End."""
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(EVERY):
            with suppress(StoreUnavailable):
                self.look()

    @property
    def at_work(self) -> int:
        """Operations that have not ended."""
        return len(self._open)

    def look(self) -> None:
        """Look at the newest operations, and at older ones that have not ended: they may be held."""
        ids = ({*self._newest()} | self._open) - self._ended
        looked = [found for each in ids if (found := self._store.readable(each))]
        at = time.time()
        self._ended |= {each.id for each in looked if each.ended}
        self._open = {each.id for each in looked if not each.ended}
        for each in looked:
            self._promote(each)
            if each.state is State.ROLLING_BACK and not each.ended:
                self.samples.append(Sample(each.id, at, frozenset(each.pending_hosts)))

    def _promote(self, operation: Status) -> None:
        hold = operation.rollout.hold if operation.rollout and operation.decision is None else None
        if hold is None:
            return
        if (operation.id, hold.number) not in self._seen:
            self._seen.add((operation.id, hold.number))
            return
        with suppress(StoreUnavailable):
            for _ in range(2):  # a promote that is repeated does nothing
                if self._store.promote(operation.id, hold.number) is None:
                    self._told.count("promoted")
