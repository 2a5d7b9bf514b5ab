"""The record on Redis answers many clients at once as the twin answers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.operation.transitions import Forward, Progress, Request
from lockstep.worker.record.redis import RedisStore
from tests.contract.calls import FORGOTTEN, LEFT, LIMITED, Call, Made
from tests.contract.linearizable import Run, Store, at_once, clients_of, groups_of, in_order, wrong

GROUPS = groups_of(20)


class Around:
    """A store that does all as the one within does it."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class ReadsLate(Around):
    """A store that tells of an operation or a lock what was told the first time, as a cache would."""

    told: ClassVar[dict[str, object]] = {}

    def operation(self, operation: OperationId) -> object:
        return self.told.setdefault(operation, self._store.operation(operation))

    def lock_owner(self, group: GroupId) -> object:
        return self.told.setdefault(f"lock of {group}", self._store.lock_owner(group))


class GivesTheLockTwice(Around):
    """A store that says "accepted" to every client."""

    def accept(self, request: Request) -> str:
        self._store.accept(request)
        return "accepted"


class SendsWhateverIsShown(Around):
    """A store that has everybody write who looked at a thing."""

    def shown(self, *given: Any) -> object:
        self._store.shown(*given)
        return Progress(Forward.SEND)


class GivesAPlaceToTwo(Around):
    """A store that has everybody write who is to wait for a place."""

    def begin(self, *given: Any) -> object:
        said = self._store.begin(*given)
        return Progress(Forward.SEND) if said.next is Forward.BUSY else said


class KeepsWhatIsForgotten(Around):
    """A store that says of an ended operation that its record was dropped, and drops none."""

    def _forget(self, operation: OperationId) -> bool:
        found = self._store.operation(operation)
        return found is not None and found.ended


class KeepsDriftOfAnyEnd(Around):
    """A store that keeps drift whatever has ended since the look began."""

    def keep_drift(self, group: GroupId, _: object, found: Any) -> object:
        return self._store.keep_drift(group, self._store.ends(group), found)


def histories(
    server: RedisServer, between: Store = lambda store: store, groups: Sequence[GroupId] = GROUPS
) -> dict[GroupId, list[Made]]:
    with clients_of(server, groups, between) as stores:
        return Run(stores, 1, groups).histories()


def test_the_answers_of_many_clients_have_an_order(server: RedisServer) -> None:
    made = histories(server)
    assert wrong(made) == []
    assert sum(map(at_once, made.values())) > 100


def test_a_redis_that_stands_still_for_a_while_is_no_fault_of_the_record(server: RedisServer) -> None:
    with clients_of(server, GROUPS) as stores, redis.Redis.from_url(server.url) as admin:
        admin.client_pause(5500)  # redis-py gives up after 5 s unless it is told otherwise
        assert wrong(Run(stores, 1, GROUPS[:2]).histories()) == []


@pytest.mark.parametrize("planted", [ReadsLate, GivesTheLockTwice, SendsWhateverIsShown])
def test_a_planted_bug_is_found(server: RedisServer, planted: type[Around]) -> None:
    ReadsLate.told.clear()
    assert wrong(histories(server, planted))


@pytest.mark.parametrize(
    ("planted", "sort"),
    [(GivesAPlaceToTwo, LIMITED), (KeepsWhatIsForgotten, FORGOTTEN), (KeepsDriftOfAnyEnd, LEFT)],
)
def test_a_planted_bug_is_found_in_groups_of_the_sort_that_it_is_about(
    server: RedisServer, planted: type[Around], sort: int
) -> None:
    assert wrong(histories(server, planted, groups_of(200)[sort::5]))


def test_a_call_that_was_answered_comes_before_those_that_were_made_later() -> None:
    free, taken = Call("lock_owner", (GroupId("g"),)), Call("cancel", (OperationId("x"), "me"))
    assert in_order([Made(free, 0, 1, None), Made(taken, 0, 1, "unknown")])
    assert in_order([Made(free, 0, 1, "x"), Made(taken, 0, 1, "unknown")]) is None
