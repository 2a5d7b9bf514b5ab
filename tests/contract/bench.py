"""A store to be tested, with what a test needs beside the protocol: time, keys, and a hand in the record."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.host import Backoff, Limits, Pause, WriteLimit
from lockstep.worker.operation.model import GroupId, HostName, Millis, OperationId
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import WriteLimits
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.record.reports import Pauses
from lockstep.worker.steps.apply import StepContext
from tests.twin import MemoryStore
from tests.waits import eventually
from tests.wrong_clock import WrongClock, library

PREFIX = "t:"
UNIT = 1 if library() is None else 1000
"""Milliseconds: where Redis' clock can be put forward, what must not be over by itself takes seconds."""
LIMITS = Limits(
    send_within=20 * UNIT,
    call=30 * UNIT,
    settle=25 * UNIT,
    sweep_patience=60_000,
    longest_countdown=8_000,
    host_patience=max(1_000, 10 * UNIT),
    memory_watermark=0.8,
    replicas=0,
    replicas_within=1000,
)
SETTLED = LIMITS.send_within + LIMITS.call + LIMITS.settle + 5
"""Milliseconds after which nothing of a write can land or show any more."""
BALLAST = 64 << 20
"""Bytes: a twentieth of it is far more than anything that a test keeps."""
WORKING_SETS = ("todo", "undo", "open", "waits")


def by_name(limits: dict[str, WriteLimit]) -> dict[str, WriteLimit]:
    """As the record has them."""
    return {"*" if name == "all" else name: each for name, each in limits.items()}


class Counts(NamedTuple):
    """How many hosts have no outcome, have failed, were touched and not restored, have an open attempt."""

    todo: int
    failed: int
    undo: int
    open: int


class Bench(Protocol):
    """One empty store, and the hand that tests hold over it."""

    store: RedisStore
    """Or its twin, which has the methods that are tested, with the same parameters."""

    def limited(self, **changes: Any) -> RedisStore:
        """The same records under other limits."""
        ...

    def now(self) -> Millis:
        """The store's time."""
        ...

    def pass_time(self, milliseconds: int) -> None:
        """Return when the store's clock has gone on by so much."""
        ...

    def key_names(self) -> set[str]:
        """Every key, without the prefix."""
        ...

    def set_format(self, operation: OperationId, number: str) -> None:
        """Make a record look as if another version had written it."""
        ...

    def counts(self, operation: OperationId) -> Counts:
        """How far an operation has come."""
        ...

    def fill(self) -> None:
        """Bring the memory in use above the watermark."""
        ...

    def pause(self, host: HostName, by: str, why: str) -> None:
        """Keep new operations off a host."""
        ...

    def resume(self, host: HostName) -> None:
        """Let them come again."""
        ...

    def limit(self, **limits: WriteLimit) -> None:
        """Have hosts take only so many writes; `all` is for all together."""
        ...

    def ends(self, group: GroupId) -> dict[HostName, tuple[str, str]]:
        """What the last ended operation left on each host, and which one it was."""
        ...

    def patrol(self) -> set[tuple[str, str, str]]:
        """Every group, host and presence that a write of unknown fate would bring there."""
        ...


class ClockedRedis(RedisServer):
    """A server whose clock tests put forward, where libfaketime is installed; elsewhere they wait."""

    def __init__(self, folder: Path) -> None:
        self.clock = None if library() is None else WrongClock(folder / "clock", at_once=True)
        super().__init__(folder, env={**os.environ, **(self.clock.env if self.clock else {})})


class RedisBench:
    """The real store, on a server of the test session's own."""

    def __init__(self, client: redis.Redis, clock: WrongClock | None) -> None:
        self.client = client
        self._clock = clock
        self.store = self.limited()

    def limited(self, **changes: Any) -> RedisStore:
        return RedisStore(self.client, Keys(PREFIX), replace(LIMITS, **changes))

    def now(self) -> Millis:
        seconds, micros = self.client.time()
        return Millis(seconds * 1000 + micros // 1000)

    def pass_time(self, milliseconds: int) -> None:
        until = self.now() + milliseconds
        if self._clock is not None:
            self._clock.set(self._clock.ahead + milliseconds / 1000)
        eventually(lambda: self.now() >= until, "the clock of Redis has passed it")

    def key_names(self) -> set[str]:
        return {key.removeprefix(PREFIX) for key in self.client.scan_iter("*")}

    def set_format(self, operation: OperationId, number: str) -> None:
        self.client.hset(Keys(PREFIX).operation(operation), "format", number)

    def counts(self, operation: OperationId) -> Counts:
        key = Keys(PREFIX).operation(operation)
        todo, undo, opened = (self.client.scard(f"{key}:{name}") for name in ("todo", "undo", "open"))
        return Counts(todo, int(self.client.hget(key, "failed") or 0), undo, opened)

    def fill(self) -> None:
        # What is left must hold every script: Redis counts its text, and a test may be the first to run it.
        self.client.setrange("ballast", BALLAST, "!")
        self.client.move("ballast", 1)  # out of sight of `key_names`
        used = self.client.info("memory")["used_memory"]
        self.client.config_set("maxmemory", int(used * 1.05))

    def pause(self, host: HostName, by: str, why: str) -> None:
        assert Pauses(self.client, Keys(PREFIX)).pause(host, by, why) is None

    def resume(self, host: HostName) -> None:
        assert Pauses(self.client, Keys(PREFIX)).resume(host)

    def limit(self, **limits: WriteLimit) -> None:
        WriteLimits(self.client, Keys(PREFIX)).keep(by_name(limits))

    def ends(self, group: GroupId) -> dict[HostName, tuple[str, str]]:
        kept = cast(dict[str, str], self.client.hgetall(Keys(PREFIX).ends(group)))
        split = {host: text.split() for host, text in kept.items()}
        return {HostName(host): (presence, operation) for host, (presence, operation, *_) in split.items()}

    def patrol(self) -> set[tuple[str, str, str]]:
        found: set[tuple[str, str, str]] = set()
        for key in self.client.scan_iter(f"{PREFIX}suspects:*"):
            for name in cast(list[str], self.client.hkeys(key)):
                host, presence = name.split()
                found.add((key.removeprefix(f"{PREFIX}suspects:"), host, presence))
        return found


class StillBench(RedisBench):
    """The real store, under a clock that stands still until a test moves it."""

    def __init__(self, client: redis.Redis, clock: WrongClock) -> None:
        super().__init__(client, clock)
        self._still = clock
        self._at = self.now()
        self.pass_time(0)

    def pass_time(self, milliseconds: int) -> None:
        self._at = Millis(self._at + milliseconds)
        self._still.stand_still(self._at)
        eventually(self._stands, "the clock of Redis stands where it is set")

    def _stands(self) -> bool:
        """Ask for two milliseconds: Redis reads its clock anew after one, and goes on from there itself."""
        ends, told = time.monotonic() + 0.002, {self.now()}
        while time.monotonic() < ends:
            told.add(self.now())
        return told == {self._at}

    def go_on(self) -> None:
        """Have the clock go on from where it stands."""
        self._still.set(max(self._still.ahead, self._at / 1000 - time.time()))


class MemoryBench:
    """The twin, under a clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = Millis(1_000_000)
        self.memory = MemoryStore(self.now, LIMITS)
        self.store = cast(RedisStore, self.memory)

    def limited(self, **changes: Any) -> RedisStore:
        twin = MemoryStore(self.now, replace(LIMITS, **changes))
        mine = self.memory
        twin.records, twin.locks, twin.left = mine.records, mine.locks, mine.left
        twin.suspected, twin.looks, twin.drifted = mine.suspected, mine.looks, mine.drifted
        twin.limited, twin.lines = mine.limited, mine.lines
        return cast(RedisStore, twin)

    def now(self) -> Millis:
        return self.time

    def pass_time(self, milliseconds: int) -> None:
        self.time = Millis(self.time + milliseconds)

    def key_names(self) -> set[str]:
        store = self.memory
        found = {f"lock:{group}" for group in store.locks} | {f"ends:{group}" for group in store.left}
        found |= {f"lease:{name}" for name, until in store.leases.items() if until > self.time}
        found |= {"failing"} if store.failed_jobs else set()
        kept = {
            "patrol": store.looks,
            "drift": store.drifted,
            "paused": store.paused,
            "dropped": store.dropped,
        }
        found |= {name for name, entries in kept.items() if entries}
        found |= {f"suspects:{group}" for group, *_ in store.suspected}
        for key, record in store.records.items():
            found |= {f"op:{key}", f"op:{key}:steps", "operations"}
            found |= {f"op:{key}:{name}" for name in WORKING_SETS if getattr(record, name)}
            found |= {"ended" if record.ended else "due"}
        return found

    def set_format(self, operation: OperationId, number: str) -> None:
        self.memory.records[operation].format = number

    def counts(self, operation: OperationId) -> Counts:
        record = self.memory.records[operation]
        return Counts(len(record.todo), record.failed, len(record.undo), len(record.open))

    def fill(self) -> None:
        self.memory.memory_used = 0.95

    def pause(self, host: HostName, by: str, why: str) -> None:
        self.memory.paused[host] = Pause(host, by, self.time, why)

    def resume(self, host: HostName) -> None:
        del self.memory.paused[host]

    def limit(self, **limits: WriteLimit) -> None:
        self.memory.limited.clear()
        self.memory.limited.update(by_name(limits))

    def ends(self, group: GroupId) -> dict[HostName, tuple[str, str]]:
        kept = self.memory.left.get(group, {})
        return {host: (str(end.presence), end.operation) for host, end in kept.items()}

    def patrol(self) -> set[tuple[str, str, str]]:
        return {(group, host, str(presence)) for group, host, presence in self.memory.suspected}


class Longest(SystemClock):
    """Draws the longest delay."""

    def jitter(self) -> float:
        return 1.0


def context(memory: MemoryBench, host: HostApi | None) -> StepContext:
    """What a step needs, with the twin and one host, or none that is known."""
    return StepContext(
        memory.memory, lambda _: host, Longest(), LIMITS, Backoff(1, 8), Backoff(1, 60), 60.0, lambda _: host
    )
