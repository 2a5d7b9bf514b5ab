"""What people and the sweep read: what is damaged is passed over and named, and everything else is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from itertools import product
from types import FunctionType
from typing import Any, TypeVar, cast

import redis

from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.host import ALL_HOSTS, NAMED_AFTER, Limits, WriteLimit
from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Status, Step
from lockstep.worker.operation.names import natural
from lockstep.worker.operation.thing import SECRET, ThingRequest
from lockstep.worker.operation.transitions import Order
from lockstep.worker.record.causes import NO_REDIS, store_errors
from lockstep.worker.record.codec import Fields, check_format, operation_from, readable, step_from
from lockstep.worker.record.damage import Damage, note
from lockstep.worker.record.keys import Keys

T = TypeVar("T")
UNREADABLE = (RecordDamaged, redis.ResponseError)
"""What is raised for a record that somebody has damaged; the second where a script stumbles over it."""
Commands = Sequence[tuple[str, ...]]
"""Commands about one operation: each with the rest of its key's name, and what follows that."""
OPERATION: Commands = (("HGETALL", ""), ("SCARD", ":todo"), ("SCARD", ":open"), ("SMEMBERS", ":undo"))
STEPS: Commands = (
    ("HGETALL", ":steps"),
    ("SMEMBERS", ":undo"),
    ("ZRANGE", ":waits", "0", "-1", "WITHSCORES"),
    ("HMGET", "", "decision", "format"),
    ("SMEMBERS", ":queued"),
)
ORDER: Commands = (("HMGET", "", "format", "group", "action", "content"), ("HKEYS", ":steps"))


class StoreErrors:
    """Every method of what inherits from this raises errors of ours for what redis-py raises."""

    def __init_subclass__(cls) -> None:
        """Wrap each of them; one that is a generator is its own."""
        for name, method in list(vars(cls).items()):
            if isinstance(method, FunctionType):
                setattr(cls, name, _raising_ours(method))


def _raising_ours(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def run(*arguments: Any, **named: Any) -> T:
        try:
            return method(*arguments, **named)
        except NO_REDIS:
            with store_errors():  # only here: a generator for each call would take longer than many of them
                raise

    return run


class Queries(StoreErrors):
    """Reads on one Redis client; nothing here changes an operation."""

    def __init__(self, client: redis.Redis, keys: Keys, limits: Limits) -> None:
        self._client = client
        self._keys = keys
        self._limits = limits

    def _hash(self, kind: str, key: str, build: Callable[[str, str], T]) -> dict[str, T]:
        """Read a hash; what is damaged of it is left out, and noted as of this kind."""
        return readable(kind, key, cast(dict[str, str], self._client.hgetall(key)), build)

    def exists(self, operation: OperationId) -> bool:
        return self._client.hget(self._keys.operation(operation), "format") is not None

    def operation(self, operation: OperationId) -> Status | None:
        """Read an operation; None when it is unknown."""
        return self._operation_of(operation, self._read(operation, OPERATION))

    def with_steps(self, operation: OperationId) -> tuple[Status | None, tuple[Step, ...]]:
        kept = self._read(operation, [*OPERATION, *STEPS])
        found = self._operation_of(operation, kept[: len(OPERATION)])
        return found, self._steps_of(operation, kept[len(OPERATION) :])

    def _read(self, operation: OperationId, asked: Commands) -> list[Any]:
        """Read all of it at one moment, in one round trip."""
        key = self._keys.operation(operation)
        with self._client.pipeline(transaction=True) as pipe:
            for command, of, *more in asked:
                pipe.execute_command(command, key + of, *more)  # type: ignore[no-untyped-call]
            return pipe.execute()

    def _operation_of(self, operation: OperationId, kept: list[Any]) -> Status | None:
        fields, todo, opened, undo = kept
        if not fields:
            return None
        check_format(fields.get("format"))
        stalled: list[str] = []
        if fields.get("decision") == "roll_back" and undo:
            stalled = self._stalled(operation, sorted(undo))
        return operation_from(operation, fields, todo=todo, open_hosts=opened, undo=undo, stalled=stalled)

    def _stalled(self, operation: OperationId, hosts: list[str]) -> list[str]:
        texts = cast(list[str | None], self._client.hmget(self._keys.steps(operation), hosts))
        # A step costs far more to decode than to look through, and most undos are never missed.
        missed = {
            host: text for host, text in zip(hosts, texts, strict=True) if text and "undo_misses" in text
        }
        steps = self._steps(operation, missed, lambda host, text: step_from(host, text, undo_needed=True))
        return [step.host for step in steps if step.undo_misses >= NAMED_AFTER]

    def _steps(
        self, operation: OperationId, kept: Mapping[str, str], build: Callable[[HostName, str], Step]
    ) -> tuple[Step, ...]:
        found = readable(
            "step", self._keys.steps(operation), kept, lambda host, text: build(HostName(host), text)
        )
        return tuple(found[host] for host in sorted(found, key=natural))

    def order(self, operation: OperationId) -> Order | None:
        """Read what an operation is about, which never changes; None when it is unknown."""
        (written, group, action, content), hosts = self._read(operation, ORDER)
        if written is None:
            return None
        check_format(written)
        fields = Fields({"group": group, "action": action})
        asked = None if content is None else ThingRequest.of(content)
        if asked is not None:
            found = self._client.hmget(self._keys.texts(operation), asked.target, SECRET)
            texts = dict(zip((asked.target, SECRET), cast(list[str | None], found), strict=True))
            asked = replace(asked, texts={name: text for name, text in texts.items() if text is not None})
        return Order(GroupId(fields.text("group")), fields.word("action", Action), frozenset(hosts), asked)

    def steps(self, operation: OperationId) -> tuple[Step, ...]:
        """Read the steps of an operation, in the order of its hosts."""
        return self._steps_of(operation, self._read(operation, STEPS))

    def _steps_of(self, operation: OperationId, kept: list[Any]) -> tuple[Step, ...]:
        texts, undo, waits, (decision, written), queued = kept
        if texts:
            check_format(written)
        lines = self._in_line(operation, [HostName(host) for host in sorted(queued)])
        due = {host: Millis(int(at)) for host, at in waits}
        needed = undo if decision == "roll_back" else ()

        def build(host: HostName, text: str) -> Step:
            step = step_from(host, text, undo_needed=host in needed, due_at=due.get(host))
            return replace(step, reason=f"{step.reason}, {lines[host]}") if host in lines else step

        return self._steps(operation, texts, build)

    def _in_line(self, operation: OperationId, hosts: list[HostName]) -> dict[HostName, str]:
        """Tell of hosts that wait for their turn to write at which place in line they stand."""
        with self._client.pipeline(transaction=False) as pipe:
            for host, name, part, way in product(hosts, LINES, ("queue", "pace"), ("undo", "forward")):
                pipe.zrank(self._keys.line(name or host, part), f"{way} {host} {operation}")
            ranks = pipe.execute() if hosts else []
        each = len(ranks) // max(1, len(hosts))
        found = [[rank for rank in ranks[each * n :][:each] if rank is not None] for n in range(len(hosts))]
        places = [f"number {min(place) + 1} in line" if place else "and is called" for place in found]
        return dict(zip(hosts, places, strict=True))

    def operations(self, limit: int, offset: int = 0) -> tuple[Status, ...]:
        """Read operations, newest first."""
        ids = cast(list[str], self._client.zrevrange(self._keys.operations, offset, offset + limit - 1))
        found = (self.readable(OperationId(each)) for each in ids)
        return tuple(each for each in found if each is not None)

    def readable(self, operation: OperationId) -> Status | None:
        """Read an operation; None if it is gone, of a newer version, or damaged, which is noted."""
        try:
            return self.operation(operation)
        except UnknownFormat:
            return None
        except UNREADABLE as error:
            self.note_damaged(operation, error)
            return None

    def note_damaged(self, operation: OperationId, error: Exception) -> None:
        why = " ".join(str(error).split())
        note(Damage("operation", self._keys.operation(operation), operation, why))

    def now(self) -> Millis:
        return millis(self._client.time())

    def due(self, limit: int) -> tuple[OperationId, ...]:
        """Return operations that the sweep is to look at, the longest overdue first."""
        ids = self._client.zrangebyscore(self._keys.due, "-inf", self.now(), start=0, num=limit)
        return tuple(OperationId(each) for each in cast(list[str], ids))

    def due_times(self, most: int = 0) -> dict[OperationId, float]:
        """Read which operations have not ended, and when each is due, the one that is due first first."""
        found = self._client.zrange(self._keys.due, 0, most - 1, withscores=True)
        return {OperationId(name): at for name, at in cast(list[tuple[str, float]], found)}

    def queue_length(self, queue: str) -> int:
        return self._client.llen(self._keys.queue(queue))

    def lease(self, name: str, milliseconds: int) -> bool:
        """Take a short lease for a periodic piece of work; False if somebody else holds it."""
        return bool(self._client.set(self._keys.lease(name), "1", nx=True, px=milliseconds))

    def keep_lease(self, name: str, milliseconds: int) -> None:
        """Have a lease last for `milliseconds` from now."""
        self._client.pexpire(self._keys.lease(name), milliseconds)

    def put_last(self, operation: OperationId, error: Exception, milliseconds: int) -> None:
        """Name an operation that cannot be read, and put it off, behind those that can."""
        self.note_damaged(operation, error)
        self._client.zadd(self._keys.due, {operation: self.now() + milliseconds}, xx=True)

    def note_done(self, name: str, milliseconds: int) -> None:
        """Note, for `milliseconds`, that a periodic piece of work was done."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(self._keys.lease(f"{name}-done"), "1", px=milliseconds)
            pipe.hdel(self._keys.failing, name)
            pipe.execute()

    def note_failed(self, name: str, why: str) -> None:
        """Keep note of why a periodic piece of work failed, until it is done."""
        self._client.hset(self._keys.failing, name, why)

    def failing(self) -> dict[str, str]:
        """Read which periodic pieces of work failed when they were last tried, and why."""
        return cast(dict[str, str], self._client.hgetall(self._keys.failing))

    def _oldest_ended(self, older_than: int, beyond: int, at_most: int) -> list[OperationId]:
        before = self.now() - older_than
        ended = self._keys.ended
        surplus = self._client.zcard(ended) - beyond
        old = self._client.zrangebyscore(ended, "-inf", before, start=0, num=at_most)
        found = dict.fromkeys(cast(list[str], old))
        if surplus > 0:
            first = self._client.zrange(ended, 0, min(surplus, at_most) - 1)
            found.update(dict.fromkeys(cast(list[str], first)))
        return [OperationId(each) for each in list(found)[:at_most]]


def millis(said: tuple[int, int]) -> Millis:
    """Return the time that Redis tells: seconds, and microseconds of the next one."""
    return Millis(said[0] * 1000 + said[1] // 1000)


LINES = ("", ALL_HOSTS)
"""Where a host may stand in line: for itself, and for all hosts together."""


@dataclass(frozen=True, slots=True)
class LimitLoad:
    host: str
    """`*` for all together."""
    limit: str
    busy: int
    """Places that are taken, or kept for those that were called."""
    waiting: int

    @property
    def text(self) -> str:
        where = "all hosts together" if self.host == ALL_HOSTS else self.host
        most, _, rate = self.limit.partition(" ")
        places = "" if most == "-" else f"{self.busy} of {most} writes at once, "
        pace = "" if rate == "-" else f"{rate} a second, "
        return f"{where}: {places}{pace}{self.waiting} wait for their turn"


class WriteLimits(StoreErrors):
    """The limits that all workers share, on one Redis client. Every method raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._told: Mapping[str, WriteLimit] | None = None

    def loads(self) -> list[LimitLoad]:
        kept = cast(dict[str, str], self._client.hgetall(self._keys.limits))
        with self._client.pipeline(transaction=False) as pipe:
            for name, part in product(kept, ("places", "queue", "pace")):
                pipe.zcard(self._keys.line(name, part))
            counts = pipe.execute() if kept else []
        parts = zip(kept.items(), counts[::3], counts[1::3], counts[2::3], strict=True)
        return [LimitLoad(name, limit, busy, queue + pace) for (name, limit), busy, queue, pace in parts]

    def keep(self, limits: Mapping[str, WriteLimit]) -> None:
        """Put these limits, by host (`*` for all together), in the place of those that are kept.

        What this process put there last is not put again: another may have newer ones.
        """
        if limits == self._told:
            return
        with self._client.pipeline() as pipe:
            pipe.delete(self._keys.limits)
            if limits:
                pipe.hset(self._keys.limits, mapping={name: each.kept() for name, each in limits.items()})
            pipe.execute()
        self._told = limits
