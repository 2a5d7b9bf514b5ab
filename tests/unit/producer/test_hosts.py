"""A producer's look at hosts while something changes: a token, or what an operation left."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from lockstep.producer.operators import drift
from lockstep.producer.operators.drift import Comparison
from lockstep.producer.operators.hosts import AT_ONCE, as_they_come, ask, together
from lockstep.worker.hosts.client import Call
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Shown, Sight
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, Millis, OperationId
from lockstep.worker.operation.thing import ABSENT, ThingEnd
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import LEAST, kind_of, thing
from tests.waits import PATIENCE, eventually


def test_a_producer_asks_once_more_with_the_token_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    asked: list[str] = []

    def exchange(call: Call) -> Reply:
        asked.append(call.headers["Authorization"])
        if asked == ["Bearer old"]:
            token.with_suffix(".new").write_text("new")
            token.with_suffix(".new").replace(token)
            return Reply(401)
        return Reply(200, b'{"groupId": "g"}')

    monkeypatch.setattr("lockstep.producer.looks.exchange", exchange)
    host = Host(HostName("node1"), "http://node1:1", token_file=str(token))
    assert ask(host, GroupId("g"), Settings())
    assert asked == ["Bearer old", "Bearer new"]


class Changing:
    """A store in which an operation ends between any two looks, so many times."""

    def __init__(self, left: ThingEnd, ends: int = 0) -> None:
        self.left, self.ends, self.asked = left, ends, 0

    def lock_owner(self, group: GroupId) -> None: ...

    def now(self) -> Millis:
        return Millis(0)

    def contents_left(self, group: GroupId) -> dict[HostName, ThingEnd]:
        self.asked += 1
        last = OperationId(f"op-{min(self.asked // 2, self.ends)}")
        return {HostName("node1"): replace(self.left, operation=last)}


LEFT = ThingEnd(ABSENT, OperationId("op"), Millis(0), "f", None)


@pytest.mark.parametrize(("ends", "overtaken", "reads"), [(0, False, 2), (2, False, 6), (9, True, 6)])
def test_a_thing_is_looked_at_again_while_operations_end(ends: int, overtaken: bool, reads: int) -> None:
    store, kind = Changing(LEFT, ends), kind_of(LEAST)
    hosts = Inventory([Host(HostName("node1"), "http://node1:1")])  # another than what was left there
    found = Comparison(cast(RedisStore, store), hosts, Settings()).of_thing(kind, thing(kind))
    assert (found.overtaken, store.asked) == (overtaken, reads)


def test_a_thing_whose_key_is_gone_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "look_at_thing", lambda *_: (Shown(Sight.ABSENT), ""))
    kind = kind_of(LEAST.replace("fields:", "fields:\n  pin: {type: string, sensitive: true}"))
    host = Host(HostName("node1"), "http://node1:1")
    store = Changing(replace(LEFT, text="k1:sealed", fingerprint=host.fingerprint))
    found = Comparison(cast(RedisStore, store), Inventory([host]), Settings()).of_thing(kind, thing(kind))
    assert found.untold.startswith("no key seals the secrets of things")


def test_many_are_asked_at_the_same_time_and_told_in_their_order() -> None:
    everybody = threading.Barrier(AT_ONCE)

    def look(number: int) -> int:
        everybody.wait(PATIENCE)  # one after the other, nobody would come further
        return 10 * number

    assert together(look, range(AT_ONCE)) == [10 * number for number in range(AT_ONCE)]


def test_once_one_fails_no_more_are_asked_and_nobody_is_waited_for() -> None:
    asked, ended, over = list[int](), list[int](), threading.Event()

    def look(number: int) -> None:
        asked.append(number)
        if number == 0:
            eventually(lambda: len(asked) == AT_ONCE, "all that may be are under way")
            raise HostUnavailable("gone")
        over.wait(PATIENCE)
        ended.append(number)

    with pytest.raises(HostUnavailable, match="gone"):
        together(look, range(10 * AT_ONCE))
    assert not ended
    over.set()
    eventually(lambda: len(ended) == len(asked) - 1, "those under way have ended")
    assert len(asked) <= AT_ONCE + 1, "one may have been begun just before"


def test_who_closes_waits_for_what_is_under_way() -> None:
    stopped, gone_on = threading.Event(), threading.Event()
    under_way: list[bool] = []

    def end(number: int) -> None:
        if number:
            stopped.wait(PATIENCE)
            under_way.append(gone_on.wait(0.2))

    coming = as_they_come(end, range(2), stopped=stopped, grace=PATIENCE)
    assert next(coming) == (0, None)
    coming.close()
    gone_on.set()
    assert under_way == [False]
