"""A client's link to Redis: the record, and what else is read from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import redis

from lockstep.worker.connection import GIVE_UP, client, impatient_client
from lockstep.worker.connection.primary import MOST
from lockstep.worker.operation.errors import RecordGone, StoreFull, StoreUnavailable
from lockstep.worker.operation.model import Action, GroupId, Loss, Millis, OperationId, Status
from lockstep.worker.process.forks import leave_to_parent, renew_in_children
from lockstep.worker.record.codec import operation_from
from lockstep.worker.record.damage import dropped, gone
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import UNREADABLE, StoreErrors, WriteLimits
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.record.reports import Clocks, Pauses, Silences, Stalls
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from lockstep.worker.record.events import Events

T = TypeVar("T")
TWICE = 5
"""Timeouts within which the second is the last: somebody waits for the answer, and Redis is frozen."""
MOST_WAITING = 100
"""Threads of one client that are told of events; any more ask once a second."""


def connect(settings: Settings) -> RedisStore:
    """Return a store on the Redis of the settings; nothing is sent yet."""
    return RedisStore(client(settings), Keys(settings.key_prefix), settings.limits)


class OperationBrief(NamedTuple):
    """What of an operation a filter looks at, as it is kept."""

    id: OperationId
    group: str
    created_by: str
    action: str
    state: str
    created_at: int


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What Redis says of itself; None for what it would not say."""

    version: str
    aof: bool
    fsync: str | None
    policy: str | None
    used: int
    limit: int
    """Bytes; 0 for none."""
    clients: int = 0
    most_clients: int = 0
    """Connections that there are, and that Redis takes at most; 0 for what it would not say."""
    replicas: int = 0


class HostCounts(NamedTuple):
    """An operation, and how many of its hosts are counted as what."""

    operation: Status
    todo: int
    open_hosts: int
    undo: int
    """Still to be restored."""
    later: int
    """Whose next try is at a time of its own."""


class Link(StoreErrors):
    """One Redis: `store` retries when a connection drops, `waiting` does not: a wait is a retry itself.

    Threads may share it. Nothing is connected until it is used; then all may raise StoreUnavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings.key_prefix)
        self.followed: set[Events] = set()
        """Subscriptions of those who follow an operation just now."""
        self._begin()
        renew_in_children(self)

    def _begin(self) -> None:
        settings = self.settings
        self._client = client(settings, within=TWICE * settings.redis_timeout)
        self.store = RedisStore(self._client, self.keys, settings.limits)
        self.pauses = Pauses(self._client, self.keys)
        self.limits = WriteLimits(self._client, self.keys)
        self.silences = Silences(self._client, self.keys)
        self.clocks = Clocks(self._client, self.keys)
        self.stalls = Stalls(self._client, self.keys)
        self._brief = impatient_client(settings)
        self.waiting = RedisStore(self._brief, self.keys, settings.limits)
        self.subscriber = impatient_client(settings, GIVE_UP, MOST_WAITING)
        """With a pool of its own: many that wait must not keep those that read from a connection."""
        self._readers: ThreadPoolExecutor | None = None
        self._choosing = threading.Lock()
        self.heard = -inf
        """When Redis last answered, by `time.monotonic`, as far as anybody keeps note of it."""

    def start_anew(self) -> None:
        leave_to_parent(self._client, self.store, self._brief, self.waiting, self.subscriber, self._readers)
        self._begin()
        for each in self.followed:
            each.start_anew()

    async def off_loop(self, read: Callable[[], T]) -> T:
        """Read in a thread of this client's, for an event loop.

        asyncio's own threads are few, and other people's: a frozen Redis would hold all of them up.
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        with self._choosing:  # nobody may close them before they have it
            if self._readers is None:
                self._readers = ThreadPoolExecutor(MOST, thread_name_prefix="lockstep-reader")
            reading = asyncio.get_running_loop().run_in_executor(self._readers, read)
        return await reading

    def ids(self, pattern: str) -> tuple[OperationId, ...]:
        """Return the recorded ids that a pattern of Redis fits, in no order."""
        found = self._client.zscan_iter(self.keys.operations, match=pattern, count=1000)
        return tuple(OperationId(str(name)) for name, _ in found)

    def newest(self, number: int) -> list[str]:
        return cast(list[str], self._client.zrevrange(self.keys.operations, 0, number - 1))

    def elsewhere(self, beginning: str, within: float) -> tuple[int, str, str] | None:
        """Find an operation whose id begins so in any database, and under any prefix, within some seconds.

        Returns the database, the prefix and the id, by the names of keys: no more may be allowed there.
        """
        ends, every = time.monotonic() + within, Keys("*").operation(OperationId(f"{beginning}*"))
        spaces = cast(dict[str, object], self._client.info("keyspace"))
        for number in (int(each.removeprefix("db")) for each in spaces if each.startswith("db")):
            url = urlsplit(self.settings.redis_url.reveal())._replace(path=f"/{number}").geturl()
            with client(self.settings.at(url)) as there:
                cursor = None
                while cursor != 0 and time.monotonic() < ends:
                    cursor, keys = there.scan(cursor or 0, every, 1000, "hash")
                    for prefix, _, found in (key.rpartition("op:") for key in keys):
                        if found.startswith(beginning) and ":" not in found:
                            return number, prefix, found
        return None

    def gone(self, operation: OperationId, group: GroupId, action: Action) -> RecordGone:
        """Keep note, where Redis allows it, that a record is gone; return the error that says so."""
        try:
            lost = self.store.note_lost(operation, group, action)
            return dropped(operation, group) if lost is None else gone(lost)
        except (StoreUnavailable, StoreFull):
            return gone(Loss(operation, group, action, Millis(0)))

    def unresolved(self) -> tuple[Loss, ...]:
        """Read which operations have lost their record, and no later one on their group has ended since."""
        found = sorted(self.store.lost().values(), key=lambda each: each.at)
        return tuple(lost for lost in found if self._last_end(lost.group) < lost.at)

    def _last_end(self, group: GroupId) -> Millis:
        ends = self.store.contents_left(group) if "/" in group else self.store.ends(group)
        return max((end.at for end in ends.values()), default=Millis(0))

    def unended(self) -> tuple[Status, ...]:
        """Read every operation that still holds its group's lock, the one that is due first first."""
        found = map(self.store.readable, self.store.due_times())
        return tuple(each for each in found if each is not None and not each.ended)

    def looked_at(self, operations: Iterable[OperationId], now: Millis) -> list[HostCounts]:
        """Read these in one round trip; what somebody has damaged of them is left out."""
        with self._client.pipeline(transaction=False) as pipe:
            for operation in operations:
                key = self.keys.operation(operation)
                pipe.hgetall(key)
                for part in ("todo", "open", "undo"):
                    pipe.scard(f"{key}:{part}")
                pipe.zcount(f"{key}:waits", f"({now}", "+inf")
            answers = iter(pipe.execute(raise_on_error=False))
        found = []
        for operation, kept, *sizes in zip(operations, *[answers] * 5, strict=True):
            if any(isinstance(each, Exception) for each in (kept, *sizes)):
                continue
            with suppress(*UNREADABLE):
                todo, opened = sizes[:2]
                read = operation_from(operation, kept, todo=todo, open_hosts=opened, undo=(), stalled=())
                found.append(HostCounts(read, *sizes))
        return found

    def counts(self) -> dict[str, int]:
        """Count what is kept, by the names of the figures that tell of it."""
        keys = self.keys
        with self._client.pipeline(transaction=False) as pipe:
            pipe.zcard(keys.due)
            for key in (keys.drift, keys.paused, keys.failing):
                pipe.hlen(key)
            names = ("operations_in_flight", "drift", "paused_hosts", "failing")
            return dict(zip(names, pipe.execute(), strict=True))

    def look_for_damage(self, groups: Iterable[GroupId]) -> None:
        """Read what is kept of hosts, workers and these groups, to have noted what is damaged."""
        store = self.store
        store.drifts()
        store.lost()
        for each in (self.pauses, self.silences, self.clocks, self.stalls):
            each.all()
        for group in groups:
            store.ends(group)
            store.suspicions(group)

    def briefs(
        self, since: Millis | None, until: Millis | None, limit: int, offset: int
    ) -> list[OperationBrief]:
        """Read, in two round trips, operations accepted from `since` until before `until`, newest first."""
        newest = "+inf" if until is None else f"({until}"
        oldest = "-inf" if since is None else since
        found = self._client.zrevrangebyscore(
            self.keys.operations, newest, oldest, start=offset, num=limit, withscores=True
        )
        ids = cast(list[tuple[str, float]], found)
        with self._client.pipeline(transaction=False) as pipe:
            for id_, _ in ids:
                key = self.keys.operation(OperationId(id_))
                pipe.hmget(key, "group", "created_by", "action", "state")
            kept = pipe.execute()
        return [
            OperationBrief(OperationId(id_), group, by, action, state, int(at))
            for (id_, at), (group, by, action, state) in zip(ids, kept, strict=True)
            if None not in (group, by, action, state)
        ]

    def facts(self) -> RedisFacts:
        """Read what Redis says of itself, once it has read its file: before, it calls that off."""
        self._client.ping()
        info = cast(dict[str, object], self._client.info())
        try:
            fsync = cast(dict[str, str], self._client.config_get("appendfsync")).get("appendfsync")
        except redis.ResponseError:  # managed servers have no CONFIG
            fsync = None
        version = str(info.get("valkey_version") or info.get("redis_version"))
        policy = cast(str | None, info.get("maxmemory_policy"))

        def number(name: str) -> int:
            return int(str(info.get(name, 0)))

        return RedisFacts(
            version=version,
            aof=info.get("aof_enabled") == 1,
            fsync=fsync,
            policy=policy,
            used=number("used_memory"),
            limit=number("maxmemory"),
            clients=number("connected_clients"),
            most_clients=number("maxclients"),
            replicas=number("connected_slaves"),
        )

    def leased(self, name: str) -> int | None:
        """Return for how many ms a periodic piece of work is still taken, -1 for ever; None if it is not."""
        left = int(self._client.pttl(self.keys.lease(name)))
        return None if left == -2 else left

    def close(self) -> None:
        """Close every connection; those of calls under way, which other threads make, after their answers."""
        for each in (self._client, self._brief, self.subscriber):
            each.connection_pool.close()
        with self._choosing:
            readers, self._readers = self._readers, None
        if readers is not None:
            readers.shutdown(wait=False)
