"""Does by hand what workers do, one transition at a time, so that no worker need run."""

from __future__ import annotations

import itertools

import redis

from lockstep.producer.client.operation import Operation
from lockstep.worker.connection import client
from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import NAMED_AFTER
from lockstep.worker.operation.model import (
    AttemptId,
    Decision,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.thing import Digest, Likeness, ThingLook
from lockstep.worker.operation.transitions import Forward, Miss
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import connect
from lockstep.worker.settings import Settings
from tests.waits import eventually

NODE1, NODE2, NODE3 = (HostName(f"node{n}") for n in (1, 2, 3))


def listening(hand: Hand, operation: Operation) -> None:
    """Wait until a caller waits for events of the operation."""
    eventually(lambda: hand.subscribers(operation.id) == 1, "the caller waits for events")


class Hand:
    """The transitions of an operation on the store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = connect(settings)
        self.redis: redis.Redis = client(settings)
        self.hosts = [host.name for host in load_inventory(settings)]
        self._prints = {host.name: host.fingerprint for host in load_inventory(settings)}
        self._ids = (AttemptId(f"a{n}") for n in itertools.count())

    def close(self) -> None:
        self.redis.close()

    def keys(self) -> list[str]:
        """Every key of this test, Celery's included."""
        return sorted(self.redis.scan_iter(f"{self.settings.key_prefix}*"))

    def content(self) -> dict[str, object]:
        """Every key of this test with what it holds."""
        return dict(zip(names := self.keys(), map(self.redis.dump, names), strict=True))

    def subscribers(self, operation: str) -> int:
        """How many wait for events of the operation."""
        channel = Keys(self.settings.key_prefix).events(OperationId(operation))
        return int(self.redis.pubsub_numsub(channel)[0][1])

    def begin(self, operation: Operation, host: HostName, seen: Presence | None = None) -> AttemptId:
        """Open a write on a host, which showed the opposite of what is asked unless `seen` says otherwise."""
        id_ = next(self._ids)
        other = Presence.ABSENT if operation.action.target is Presence.PRESENT else Presence.PRESENT
        shown = Seen(seen or other, '{"groupId": "x"}')
        self.store.begin(
            operation.id, host, self._prints[host], shown, id_, operation.action, operation.group
        )
        return id_

    def apply(self, operation: Operation, host: HostName) -> None:
        self.store.finish(operation.id, host, self.begin(operation, host), Effect.APPLIED, "201")

    def already(self, operation: Operation, host: HostName) -> None:
        self.begin(operation, host, operation.action.target)

    def lose(
        self,
        operation: Operation,
        host: HostName,
        why: str = "connection refused",
        outcome: Outcome = Outcome.UNREACHABLE,
    ) -> None:
        """A host that never answered: its step fails."""
        self.store.missed(
            operation.id,
            host,
            self._prints[host],
            next(self._ids),
            why,
            Miss.UNUSABLE,
            outcome,
        )

    def decide(self, operation: Operation, decision: Decision) -> None:
        """Be sure of a commit, which the last outcome has made; roll back unless an outcome has."""
        if decision is Decision.ROLL_BACK:
            self.store.cancel(operation.id, "a test")
        kept = self.store.operation(operation.id)
        assert kept is not None
        assert kept.decision is decision

    def commit(self, operation: Operation) -> None:
        for host in self.hosts:
            self.apply(operation, host)
        self.decide(operation, Decision.COMMIT)

    def roll_back(self, operation: Operation) -> None:
        self.decide(operation, Decision.ROLL_BACK)

    def restore(self, operation: Operation, host: HostName) -> None:
        id_ = next(self._ids)
        self.store.begin_undo(operation.id, host, self._prints[host], id_, Millis(0))
        self.store.finish(operation.id, host, id_, Effect.APPLIED, "200")

    def contest(self, operation: Operation, host: HostName) -> None:
        """A thing that somebody else writes after our write: a person has to decide."""
        order, fingerprint = (operation.id, host), self._prints[host]
        before, theirs = (
            ThingLook(Digest(each), Likeness.OTHER, f"text of {each}") for each in ("before", "theirs")
        )
        id_ = next(self._ids)
        self.store.shown(*order, fingerprint, before, id_, operation.action, operation.group)
        self.store.finish(*order, id_, Effect.APPLIED, "204")
        self.store.shown(*order, fingerprint, theirs, next(self._ids), operation.action, operation.group)
        came = self.store.restore(*order, fingerprint, self.store.now(), 0, theirs, next(self._ids))
        assert came.next is Forward.PERSON

    def stall(self, operation: Operation, host: HostName) -> None:
        """A host that is away during the rollback, for long enough to be named."""
        for _ in range(NAMED_AFTER):
            self.store.postpone(operation.id, host, 60_000, "connection refused", next(self._ids))
