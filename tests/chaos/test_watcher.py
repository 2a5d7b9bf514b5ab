"""The watcher promotes what is held, however many operations have begun since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from lockstep.worker.operation.model import OperationId, State
from lockstep.worker.record.redis import RedisStore
from tests.chaos.orders import Told
from tests.chaos.watcher import Watcher


class Store:
    """A record of which the newest operations are shown, and each is found by its id."""

    def __init__(self) -> None:
        held = SimpleNamespace(hold=SimpleNamespace(number=1))
        more = {"ended": False, "decision": None, "state": State.APPLYING}
        self.held = SimpleNamespace(id=OperationId("old"), rollout=held, **more)
        self.newest = [self.held.id]
        self.promoted: list[tuple[str, int]] = []

    def readable(self, operation: OperationId) -> Any:
        return self.held if operation == self.held.id else None

    def promote(self, operation: OperationId, hold: int) -> None:
        self.promoted.append((operation, hold))


def test_what_is_held_is_promoted_though_it_is_among_the_newest_no_more() -> None:
    store = Store()
    watcher = Watcher(cast(RedisStore, store), lambda: store.newest, Told())
    watcher.look()
    store.newest = []
    watcher.look()
    assert store.promoted[0] == ("old", 1)
    assert watcher.at_work == 1
    store.held.ended = True
    watcher.look()
    assert watcher.at_work == 0
