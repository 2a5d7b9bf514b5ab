"""The record on Redis answers many clients at once as the twin answers one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.operation.transitions import Forward, Progress
from lockstep.worker.record.redis import RedisStore
from tests.contract.calls import Call, Made
from tests.contract.linearizable import Run, Store, at_once, clients_of, in_order, wrong

GROUPS = 12


class ReadsLate:
    """A store that tells of an operation or a lock what was told the first time, as a cache would."""

    told: dict[str, object]

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def operation(self, operation: OperationId) -> object:
        return self.told.setdefault(operation, self._store.operation(operation))

    def lock_owner(self, group: GroupId) -> object:
        return self.told.setdefault(f"lock of {group}", self._store.lock_owner(group))


class GivesTheLockTwice(ReadsLate):
    """A store that says "accepted" to every client."""

    def accept(self, request: object) -> str:
        self._store.accept(request)  # type: ignore[arg-type]
        return "accepted"

    def operation(self, operation: OperationId) -> object:
        return self._store.operation(operation)

    def lock_owner(self, group: GroupId) -> object:
        return self._store.lock_owner(group)


class SendsWhateverIsShown(ReadsLate):
    """A store that has everybody write who looked at a thing."""

    operation, lock_owner = GivesTheLockTwice.operation, GivesTheLockTwice.lock_owner

    def shown(self, *given: Any) -> object:
        self._store.shown(*given)
        return Progress(Forward.SEND)


def histories(server: RedisServer, between: Store = lambda store: store) -> dict[GroupId, list[Made]]:
    with clients_of(server, between) as stores:
        return Run(stores, 1, GROUPS).histories()


def test_the_answers_of_many_clients_have_an_order(server: RedisServer) -> None:
    made = histories(server)
    assert wrong(made) == []
    assert sum(map(at_once, made.values())) > 100


def test_a_redis_that_stands_still_for_a_while_is_no_fault_of_the_record(server: RedisServer) -> None:
    with clients_of(server) as stores, redis.Redis.from_url(server.url) as admin:
        admin.client_pause(5500)  # redis-py gives up after 5 s unless it is told otherwise
        assert wrong(Run(stores, 1, 2).histories()) == []


@pytest.mark.parametrize("planted", [ReadsLate, GivesTheLockTwice, SendsWhateverIsShown])
def test_a_planted_bug_is_found(server: RedisServer, planted: type[ReadsLate]) -> None:
    planted.told = {}
    assert wrong(histories(server, planted))


def test_a_call_that_was_answered_comes_before_those_that_were_made_later() -> None:
    free, taken = Call("lock_owner", (GroupId("g"),)), Call("cancel", (OperationId("x"), "me"))
    assert in_order([Made(free, 0, 1, None), Made(taken, 0, 1, "unknown")])
    assert in_order([Made(free, 0, 1, "x"), Made(taken, 0, 1, "unknown")]) is None
