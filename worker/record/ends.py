"""What outlives operations: the last end per group and host, the patrol's list, and the drift it found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import redis
from redis.client import Pipeline

from lockstep.worker.operation.drift import Drift, End, EndsSize, ForgottenGroup
from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.host import Limits
from lockstep.worker.operation.model import Action, GroupId, HostName, Loss, Millis, OperationId, Presence
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import Digest, ThingEnd
from lockstep.worker.record.causes import store_errors
from lockstep.worker.record.codec import Fields, readable
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import UNREADABLE, Queries
from lockstep.worker.record.scripts import Replicas, Scripts, script

MOST_LOST = 1000
"""Kept of them; who has lost more knows it."""
LOOKED_AT = 1000
"""Keys that one look for deleted groups goes over."""
TIDIED_KEPT = 86_400_000
"""Milliseconds for which it is kept how far these looks have come."""
ESTIMATED_FROM = 20_000
"""Keys at most that are gone over to estimate how many groups are remembered."""
SAMPLED = 100
"""Groups that speak for all of them."""
WEEK = 604_800_000
"""Milliseconds for which the names of records that are gone are kept, so that somebody sees them."""


class RedisEnds(Queries):
    """All of it, on one Redis client."""

    def __init__(self, client: redis.Redis, keys: Keys, limits: Limits) -> None:
        super().__init__(client, keys, limits)
        self._scripts = Scripts(client, keys, Replicas(keys.fence, limits.replicas, limits.replicas_within))
        self._keep_drift = client.register_script(script("keep_drift"))
        self._forget_group = client.register_script(script("forget_group"))

    def ends(self, group: GroupId) -> dict[HostName, End]:
        found = self._hash("last end", self._keys.ends(group), lambda _, text: _end(text))
        return {HostName(host): end for host, end in found.items()}

    def groups_with_ends(self) -> Iterator[GroupId]:
        """Yield every group of which an operation has ended; in no order, each once."""
        return self._with_keys(self._keys.ends(GroupId("")))

    def _with_keys(self, start: str) -> Iterator[GroupId]:
        seen: set[str] = set()
        with store_errors():
            for key in cast(Iterator[str], self._client.scan_iter(match=f"{start}*", count=1000)):
                if key not in seen:
                    seen.add(key)
                    yield GroupId(key.removeprefix(start))

    def text(self, operation: OperationId, digest: str) -> str | None:
        return cast(str | None, self._client.hget(self._keys.texts(operation), digest))

    def contents_left(self, group: GroupId) -> dict[HostName, ThingEnd]:
        """Return what the last ended operations on a thing left on each host that they covered."""
        key = self._keys.left(group)
        kept = cast(dict[str, str], self._client.hgetall(key))

        def left(_: str, text: str) -> ThingEnd:
            parts = text.split(" ")
            if len(parts) not in (4, 5) or not parts[2].isdecimal():
                raise RecordDamaged("it is no end of an operation")
            digest, operation, at, fingerprint, *form_of = parts
            when, kept_text = Millis(int(at)), kept.get(f"={digest}")
            learned = Digest(form_of[0]) if form_of else None
            return ThingEnd(Digest(digest), OperationId(operation), when, fingerprint, kept_text, learned)

        hosts = {name: text for name, text in kept.items() if not name.startswith("=")}
        return {HostName(host): each for host, each in readable("last end", key, hosts, left).items()}

    def things(self) -> list[GroupId]:
        return sorted(self._with_keys(self._keys.left(GroupId(""))))

    def forget_group(self, group: GroupId, before: Millis, *, dry_run: bool = False) -> ForgottenGroup | None:
        """Forget a group that all its hosts were without before a moment; None if it is kept.

        It is kept while an operation works on it, a write of unknown fate is watched for, or a host drifts.
        With `dry_run` nothing is dropped.
        """
        keys = self._keys
        about = [keys.lock(group), keys.ends(group), keys.suspects(group), keys.patrol, keys.drift]
        said = self._forget_group(keys=about, args=[group, before, int(not dry_run)])
        gone = [int(number) for number in cast(list[str] | None, said) or ()]
        return ForgottenGroup(group, gone[0], Millis(gone[1])) if gone else None

    def forget_deleted(self, older_than: int) -> int:
        """Look at some more groups, and forget those that were deleted over `older_than` ms ago."""
        keys, before = self._keys, Millis(self.now() - older_than)
        kept = cast(str | None, self._client.get(keys.tidied))
        cursor, groups = self._some_groups(int(kept) if kept and kept.isdecimal() else 0)
        self._client.set(keys.tidied, cursor, px=TIDIED_KEPT)
        return sum(self.forget_group(group, before) is not None for group in groups)

    def _some_groups(self, cursor: int) -> tuple[int, list[GroupId]]:
        start = self._keys.ends(GroupId(""))
        said = self._client.scan(cursor, match=f"{start}*", count=LOOKED_AT)
        cursor, found = cast(tuple[int, list[str]], said)
        return cursor, [GroupId(key.removeprefix(start)) for key in found]

    def sizes(self, groups: Iterable[GroupId]) -> list[int]:
        """Return how many bytes the last ends of each group take."""
        with self._client.pipeline(transaction=False) as pipe:
            for group in groups:
                pipe.memory_usage(self._keys.ends(group))
            return [size or 0 for size in cast(list[int | None], pipe.execute())]

    def remembered(self) -> EndsSize:
        """Estimate, from some of the groups, what the last ends of all take, and how that grows."""
        looked, cursor, seen = 0, 0, dict[GroupId, None]()
        while not looked or (cursor and looked < ESTIMATED_FROM):
            cursor, found = self._some_groups(cursor)
            seen |= dict.fromkeys(found)
            looked += LOOKED_AT
        groups = len(seen) * (max(1.0, self._keys_there() / looked) if cursor else 1.0)
        some = list(seen)[:SAMPLED]
        each, week = groups / max(1, len(some)), self.now() - WEEK
        sizes = self.sizes(some)
        deleted: list[tuple[int, bool]] = []
        for group, size in zip(some, sizes, strict=True):
            ends = self.ends(group).values()
            if ends and all(end.presence is Presence.ABSENT for end in ends):
                deleted.append((size, max(end.at for end in ends) >= week))
        return EndsSize(
            groups=round(groups),
            size=round(each * sum(sizes)),
            deleted=round(each * len(deleted)),
            deleted_size=round(each * sum(size for size, _ in deleted)),
            daily=round(each * sum(size for size, lately in deleted if lately) / 7),
        )

    def _keys_there(self) -> int:
        # DBSIZE would be one more command that every role needs.
        database = self._client.connection_pool.connection_kwargs.get("db", 0)
        return int(cast(dict[str, dict[str, int]], self._client.info("keyspace"))[f"db{database}"]["keys"])

    def lock_owner(self, group: GroupId) -> OperationId | None:
        owner = cast(str | None, self._client.get(self._keys.lock(group)))
        return None if owner is None else OperationId(owner)

    def patrol_due(self, limit: int) -> tuple[GroupId, ...]:
        """Return groups that the patrol is to look at, the longest overdue first."""
        now = self.now()
        groups = self._client.zrangebyscore(self._keys.patrol, "-inf", now, start=0, num=limit)
        return tuple(GroupId(group) for group in cast(list[str], groups))

    def patrol_overdue(self) -> tuple[int, Millis]:
        """Return how many groups the patrol is late to look at, and for how long the first has been due."""
        now = self.now()
        with self._client.pipeline(transaction=False) as pipe:
            pipe.zcount(self._keys.patrol, "-inf", now)
            pipe.zrange(self._keys.patrol, 0, 0, withscores=True)
            number, first = pipe.execute()
        return number, Millis(max(0, now - round(first[0][1])) if first else 0)

    def suspicions(self, group: GroupId) -> dict[tuple[HostName, Presence], Millis]:
        return dict(self._hash("suspicion", self._keys.suspects(group), _suspicion).values())

    def patrol_again(self, group: GroupId, at: Millis | None, newest: Millis) -> None:
        key, patrol = self._keys.suspects(group), self._keys.patrol

        def change(pipe: Pipeline) -> None:
            kept = cast(dict[str, str], pipe.hgetall(key))
            fresh = [name for name, since in kept.items() if since.isdecimal() and int(since) > newest]
            pipe.multi()
            if fresh:
                return  # a new suspicion makes the group due as well
            if at is not None:
                pipe.zadd(patrol, {group: at}, xx=True)
            else:
                pipe.delete(key)
                pipe.zrem(patrol, group)

        self._client.transaction(change, key)

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        keys = [self._keys.lock(group), self._keys.ends(group), self._keys.drift]
        began = {host: end.text for host, end in ends.items()}
        texts = {host: "" if drift is None else _json(drift) for host, drift in found.items()}
        said = self._keep_drift(keys=keys, args=[group, json.dumps(began), json.dumps(texts)])
        if (new := cast(list[str] | None, said)) is None:
            return None
        return [drift for host, drift in found.items() if drift is not None and host in new]

    def drifts(self) -> list[Drift]:
        return [drift for _, drift in sorted(self._hash("drift", self._keys.drift, _drift).items())]

    def note_lost(self, operation: OperationId, group: GroupId, action: Action | None = None) -> Loss | None:
        """Keep for a week that the record of an accepted operation is gone; None if retention dropped it."""
        found = Loss(operation, group, action, self.now())
        key = self._keys.lost
        kept = json.dumps({"group": group, "action": action, "at": found.at})
        if self._client.zscore(self._keys.dropped, operation) is not None:
            return None
        if self._client.hlen(key) < MOST_LOST and self._client.hsetnx(key, operation, kept):
            self._client.pexpire(key, WEEK)
        return found

    def lost(self) -> dict[OperationId, Loss]:
        return {lost.id: lost for lost in self._hash("lost record", self._keys.lost, _lost).values()}

    def first(self, operation: OperationId, what: str) -> bool:
        """Tell whether `what` is done for an operation for the first time; the record remembers it."""
        return self._scripts.run("first", operation, what) == 1

    def forget(self, older_than: int, beyond: int, at_most: int) -> int:
        """Drop ended records over `older_than` ms old or past `beyond`, `at_most` at once; say how many."""
        return sum(map(self._forget, self._oldest_ended(older_than, beyond, at_most)))

    def _forget(self, operation: OperationId) -> bool:
        try:
            return self._scripts.run("forget", operation) == 1
        except UnknownFormat:
            return False  # a newer worker's record: its own to drop
        except UNREADABLE as error:
            self.note_damaged(operation, error)
            # after those that can be dropped
            self._client.zadd(self._keys.ended, {operation: self.now()}, xx=True)
            return False


def _lost(operation: str, text: str) -> Loss:
    kept = Fields.of(text)
    action = kept.maybe(kept.word, "action", Action)
    return Loss(OperationId(operation), GroupId(kept.text("group")), action, kept.at("at"))


def _end(text: str) -> End:
    kept = _words(text, "presence", "operation", "at", "fingerprint")
    presence, operation = kept.word("presence", Presence), OperationId(kept.text("operation"))
    return End(presence, operation, kept.at("at"), kept.text("fingerprint"))


def _suspicion(name: str, at: str) -> tuple[tuple[HostName, Presence], Millis]:
    kept = _words(f"{name} {at}", "host", "presence", "at")
    return (HostName(kept.text("host")), kept.word("presence", Presence)), kept.at("at")


def _words(text: str, *names: str) -> Fields:
    words = text.split(" ")
    if len(words) != len(names):
        raise RecordDamaged(f"it is {show(text)}, and must be: {' '.join(names)}")
    return Fields(dict(zip(names, words, strict=True)))


def _json(drift: Drift) -> str:
    told = {"found": drift.found, "seen_at": drift.seen_at, "explained": drift.explained}
    return json.dumps({"end": drift.end.text, **told})


def _drift(name: str, text: str) -> Drift:
    of, kept = _words(name, "group", "host"), Fields.of(text)
    return Drift(
        GroupId(of.text("group")),
        HostName(of.text("host")),
        _end(kept.text("end")),
        kept.word("found", Presence),
        kept.at("seen_at"),
        kept.flag("explained"),
    )
