"""What each worker says of itself: its clock, its inventory, and whether it stands still."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from lockstep.worker.operation.errors import RecordDamaged, StoreFull, StoreUnavailable
from lockstep.worker.operation.model import Millis
from lockstep.worker.operation.names import show
from lockstep.worker.record.codec import WAVED, Keys
from lockstep.worker.record.fields import Fields, readable
from lockstep.worker.record.queries import store_errors

EVERY = 15.0
"""Seconds between two reports of a process."""
FORGOTTEN = 60_000
"""Milliseconds after which a report says nothing any more: the process has ended."""
SLOW = 1.0
"""Seconds; an answer of Redis that took longer says too little about the time."""


@dataclass(frozen=True, slots=True)
class HeldInventory:
    """The inventory that a process has."""

    digest: str
    """Twelve characters, which differ where names or URLs of hosts do."""
    hosts: int
    read_at: Millis
    """When it was read, by Redis' clock."""
    fault: str = ""
    """Why the file as it is now was not taken."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a process said of itself."""

    at: int
    ahead: int
    """Milliseconds, as `at`."""
    held: HeldInventory | None
    format: int = 1
    """The newest format of records that it reads."""


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
            report: dict[str, object] = {"ahead": ahead, "at": now, "format": int(WAVED)}
            if held is not None:
                digest, hosts, age, fault = held
                report["inventory"] = [digest, hosts, now - round(age * 1000), fault]
            pipe.hset(self._key, process, json.dumps(report))
            known = reported(self._key, kept, now)
            old = [name for name in kept if name != process and name not in known]
            if old:
                pipe.hdel(self._key, *old)
            pipe.execute()

    def all(self) -> dict[str, int]:
        """Return the milliseconds by which each process' clock is ahead. Raises StoreUnavailable."""
        return {name: report.ahead for name, report in self._read().items()}

    def inventories(self) -> dict[str, HeldInventory]:
        """Return the inventory of each process that has one. Raises StoreUnavailable."""
        return {name: report.held for name, report in self._read().items() if report.held is not None}

    def too_old(self) -> list[str]:
        """Return the workers that cannot read records with waves. Raises StoreUnavailable."""
        known = self._read().items()
        return [name for name, each in known if each.format < int(WAVED) and not name.startswith("beat@")]

    def _read(self) -> dict[str, Report]:
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, _), kept = pipe.execute()
        return reported(self._key, kept, seconds * 1000)

    def tell_for_ever(self, process: str, has: Has = lambda: None) -> None:
        """Report in a thread of its own until the process ends; what cannot be told now is told later."""

        def run() -> None:
            while True:
                with contextlib.suppress(StoreUnavailable, StoreFull, RecordDamaged):
                    self.tell(process, has)
                time.sleep(EVERY)

        threading.Thread(target=run, name="clock", daemon=True).start()


def reported(key: str, kept: Mapping[str, str], now: int) -> dict[str, Report]:
    """Return what is reported, by process, without what is old or cannot be read."""
    found = readable("report", key, kept, _report)
    return {name: found[name] for name in sorted(found) if now - found[name].at <= FORGOTTEN}


def _report(_: str, text: str) -> Report:
    told = Fields.of(text)
    held = None
    match told.items("inventory", list):
        case []:
            pass
        case [str(digest), int(hosts), int(read_at), str(fault)]:
            held = HeldInventory(digest, hosts, Millis(read_at), fault)
        case other:
            raise RecordDamaged(f"its field inventory is {show(other)}, and must be of text, 2 numbers, text")
    return Report(told.number("at"), told.number("ahead"), held, told.maybe(told.number, "format") or 1)


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
