"""What Redis keeps of hosts and workers: pauses and silences; clocks, inventories and stalls."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from lockstep.worker.connection import clock_ahead
from lockstep.worker.operation.errors import HostPaused, RecordDamaged, StoreFull, StoreUnavailable
from lockstep.worker.operation.host import Pause, Silence, refusal
from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.operation.names import show
from lockstep.worker.record.codec import WAVED, Fields, readable
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import StoreErrors, millis

EVERY = 15.0
"""Seconds between two reports of a process."""
FORGOTTEN = 60_000
"""Milliseconds after which a report says nothing any more: the process has ended."""
NO_WORKERS = ("beat@", "flower@")
"""How the names begin of processes that read no record."""
KEPT = 86_400_000
"""Milliseconds for which a stall is kept, and silences that nobody ends."""


class _Reports(StoreErrors):
    """A hash with a field for each host or process. Every method raises StoreUnavailable if Redis is away."""

    name: str  # of its key among `Keys`

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key: str = getattr(keys, self.name)

    def _read(self, field: str = "") -> tuple[Millis, dict[str, str]]:
        """Return Redis' time, and all fields, or this one if it is there."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            if field:
                pipe.hget(self._key, field)
            else:
                pipe.hgetall(self._key)
            said, kept = pipe.execute()
        if field:
            kept = {} if kept is None else {field: kept}
        return millis(said), kept


class Pauses(_Reports):
    name = "paused"

    def pause(self, host: HostName, by: str, why: str) -> Pause | None:
        """Pause a host; return the pause that holds already, which then stays as it is."""
        kept = {"by": by, "at": millis(self._client.time()), "why": why}
        if self._client.hsetnx(self._key, host, json.dumps(kept)):
            return None
        return self.all().get(host)

    def resume(self, host: HostName) -> Pause | None:
        """End a host's pause and return it; None if it was not paused."""
        held = self.all().get(host)
        return held if self._client.hdel(self._key, host) else None

    def all(self) -> dict[HostName, Pause]:
        _, kept = self._read()
        found = readable("pause", self._key, kept, pause_from)
        return {HostName(host): found.get(host) or unreadable(host) for host in sorted(kept)}


def refused(said: list[str]) -> HostPaused:
    """Build the error from what `accept` answers: a host, its pause as JSON, and how many are paused."""
    _, host, text, needed = said
    try:
        pause = pause_from(host, text)
    except RecordDamaged:
        pause = unreadable(host)
    return HostPaused(refusal(pause, int(needed) - 1))


def pause_from(host: str, text: str) -> Pause:
    """Build a pause from its JSON. Raises RecordDamaged."""
    kept = Fields.of(text)
    return Pause(HostName(host), kept.text("by"), kept.at("at"), kept.text("why"))


def unreadable(host: str) -> Pause:
    """Return what stands for a pause that cannot be read: the host stays paused."""
    why = "its pause cannot be read: resume it, and pause it again"
    return Pause(HostName(host), "somebody", Millis(0), why)


class Silences(_Reports):
    """The silences of hosts, by the clock of Redis, which all workers share."""

    name = "spared"

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        now, kept = self._read(host)
        since = now
        for before in self._found(kept).values():
            if before.until + 2 * milliseconds > now:
                since = before.since  # silent again soon after it was spared: it is the same silence
        silence = {"since": since, "until": now + milliseconds, "failures": failures, "why": why}
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(self._key, host, json.dumps(silence))
            pipe.pexpire(self._key, KEPT)  # the worker that was to end it may have died
            pipe.execute()

    def left(self, host: HostName) -> tuple[Silence, int] | None:
        """Return a host's silence and the milliseconds that it lasts; None if it is not spared."""
        return self._lasting(*self._read(host)).get(host)

    def answered(self, host: HostName) -> None:
        self._client.hdel(self._key, host)

    def all(self) -> dict[HostName, tuple[Silence, int]]:
        """Return every silence that is not over, with the milliseconds that it lasts."""
        return self._lasting(*self._read())

    def _lasting(self, now: Millis, kept: Mapping[str, str]) -> dict[HostName, tuple[Silence, int]]:
        found = sorted(self._found(kept).items())
        return {HostName(host): (each, each.until - now) for host, each in found if each.until > now}

    def _found(self, kept: Mapping[str, str]) -> dict[str, Silence]:
        return readable("silence", self._key, kept, _silence)  # a damaged one spares no host


def _silence(host: str, text: str) -> Silence:
    kept = Fields.of(text)
    since, until = kept.at("since"), kept.at("until")
    return Silence(HostName(host), since, until, kept.number("failures"), kept.text("why"))


@dataclass(frozen=True, slots=True)
class HeldInventory:
    digest: str
    """Twelve characters, which differ where names or URLs of hosts do."""
    hosts: int
    read_at: Millis
    """When it was read, by Redis' clock."""
    fault: str = ""
    """Why the file as it is now was not taken."""


@dataclass(frozen=True, slots=True)
class Report:
    at: int
    ahead: int
    """Milliseconds, as `at`."""
    held: HeldInventory | None
    format: int = 1
    """The newest format of records that it reads."""


Has = Callable[[], tuple[str, int, float, str] | None]
"""Tells the digest of this process's inventory, how many hosts it has, how many seconds ago it was read, and
why its file as it is now was not taken ("" if it was); None if there is no inventory."""


class Clocks(_Reports):
    name = "clocks"

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        super().__init__(client, keys)
        self.heard: dict[str, int] = {}
        """Process -> the milliseconds by which its clock is ahead, as it told this one; reported once."""

    def ahead(self) -> int | None:
        """Return the milliseconds by which this machine's clock is ahead of Redis'; None if unsure."""
        return clock_ahead(self._client)

    def tell(self, process: str, has: Has = lambda: None) -> None:
        """Report this process and what was heard of others, and drop what ended processes reported."""
        ahead, held = self.ahead(), has()
        if ahead is None:
            return
        now, kept = self._read()
        report: dict[str, object] = {"ahead": ahead, "at": now, "format": int(WAVED)}
        if held is not None:
            digest, hosts, age, fault = held
            report["inventory"] = [digest, hosts, now - round(age * 1000), fault]
        others = {name: {"ahead": self.heard.pop(name), "at": now} for name in list(self.heard)}
        reports = {**others, process: report}
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(self._key, mapping={name: json.dumps(each) for name, each in reports.items()})
            known = self._known(now, kept)
            old = [name for name in kept if name not in reports and name not in known]
            if old:
                pipe.hdel(self._key, *old)
            pipe.execute()

    def all(self) -> dict[str, int]:
        """Return the milliseconds by which each process' clock is ahead."""
        return {name: report.ahead for name, report in self._reports().items()}

    def inventories(self) -> dict[str, HeldInventory]:
        return {name: report.held for name, report in self._reports().items() if report.held is not None}

    def too_old(self) -> list[str]:
        """Return the workers that cannot read records with waves."""
        known = self._reports().items()
        return [name for name, each in known if each.format < int(WAVED) and not name.startswith(NO_WORKERS)]

    def _reports(self) -> dict[str, Report]:
        return self._known(*self._read())

    def _known(self, now: int, kept: Mapping[str, str]) -> dict[str, Report]:
        found = readable("report", self._key, kept, _report)
        return {name: each for name, each in sorted(found.items()) if now - each.at <= FORGOTTEN}

    def tell_for_ever(self, process: str, has: Has = lambda: None) -> None:
        """Report in a thread of its own until the process ends; what cannot be told now is told later."""

        def run() -> None:
            while True:
                with contextlib.suppress(StoreUnavailable, StoreFull, RecordDamaged):
                    self.tell(process, has)
                time.sleep(EVERY)

        threading.Thread(target=run, name="clock", daemon=True).start()


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


@dataclass(frozen=True, slots=True)
class Stall:
    """The last time that a worker stood still and ended itself."""

    worker: str
    ago: int
    """Milliseconds."""
    why: str


class Stalls(_Reports):
    name = "stalled"

    def note(self, worker: str, why: str) -> None:
        at = millis(self._client.time())
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(self._key, worker, json.dumps({"at": at, "why": why}))
            pipe.pexpire(self._key, KEPT)
            pipe.execute()

    def all(self) -> list[Stall]:
        """Return the stalls of the last day, by worker."""
        now, kept = self._read()

        def stall(worker: str, text: str) -> Stall:
            said = Fields.of(text)
            return Stall(worker, now - said.number("at"), said.text("why"))

        found = readable("stall", self._key, kept, stall)
        return [each for _, each in sorted(found.items()) if each.ago < KEPT]
