"""What the client makes of what its link answers, where no server is needed to see it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.client import client as module
from lockstep.producer.client.client import ClusterClient
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import AbandonRefused, InvalidInput
from lockstep.worker.operation.host import Host, Pause
from lockstep.worker.operation.model import Action, HostName, Millis, State, Step
from lockstep.worker.operation.thing import Digest, Trace
from lockstep.worker.operation.transitions import Refusal
from lockstep.worker.record.reports import HeldInventory
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import OPERATION

NODE1, NODE2 = HostName("node1"), HostName("node2")
INVENTORY = Inventory([Host(NODE1, "http://node1:80"), Host(NODE2, "http://node2:80")])
FOREIGN = Trace(foreign=Digest("theirs"))


def client(inventory: Inventory | None = INVENTORY, **link: Any) -> Any:
    """A client whose link is this, and whose store has one operation unless it says otherwise."""
    made: Any = ClusterClient(Settings(), inventory=inventory, created_by="alice@desk")
    made._link = SimpleNamespace(unended=lambda: [OPERATION], **link)
    return made


@pytest.mark.parametrize(
    ("step", "restore", "said", "asked"),
    [
        (Step(NODE2, trace=FOREIGN), True, None, ["resolve"]),
        (Step(NODE2, trace=FOREIGN), True, Refusal.NOT_PENDING, ["resolve"]),
        (Step(NODE2, trace=FOREIGN), False, None, ["abandon"]),
        (Step(NODE2, trace=Trace()), True, None, []),
        (Step(NODE2, trace=Trace()), False, None, []),
        (Step(NODE2), True, None, []),
        (Step(NODE2), False, None, []),
    ],
)
def test_a_person_decides_where_a_host_shows_what_is_nobodys(
    step: Step, restore: bool, said: Refusal | None, asked: list[str]
) -> None:
    told: list[tuple[str, *tuple[str, ...]]] = []

    def note(what: str, *given: str) -> Refusal | None:
        told.append((what, *given))
        return said

    store = SimpleNamespace(
        operation=lambda _: OPERATION,
        steps=lambda _: (Step(NODE1), step),
        resolve=lambda *given: note("resolve", *given),
        abandon=lambda *given: note("abandon", *given),
    )
    made = client(store=store)
    if asked and said is None:
        assert made.resolve("7f3c", "node2", restore=restore).id == "7f3c"
    else:
        with pytest.raises(
            AbandonRefused, match='"node2" shows nothing in operation "7f3c" that a person mus'
        ):
            made.resolve("7f3c", "node2", restore=restore)
    why = "alice@desk" if restore else "alice@desk: left as somebody else has made it"
    assert told == [(what, "7f3c", "node2", why) for what in asked]


@pytest.mark.parametrize("restore", [True, False])
def test_nobody_decides_about_a_host_that_is_no_part_of_the_operation(restore: bool) -> None:
    store = SimpleNamespace(
        operation=lambda _: OPERATION, steps=lambda _: (Step(NODE1),), abandon=lambda *_: Refusal.UNKNOWN
    )
    with pytest.raises(InvalidInput, match='host "node2" is no part of operation "7f3c": node1 are'):
        client(store=store).resolve("7f3c", "node2", restore=restore)


def test_twenty_operations_are_listed_and_a_hundred_searched_unless_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    store = SimpleNamespace(operations=asked.append, readable=None)
    made = client(store=store, briefs=None)
    made.operations()

    def search(briefs: object, readable: object, *given: object) -> list[object]:
        asked.append(given)
        return []

    monkeypatch.setattr(module, "search", search)
    made.history()
    made.history(action="delete", states=["committed"], since=datetime.fromtimestamp(1, UTC), limit=7)
    listed, (everything, most), (wanted, limit) = asked
    assert (listed, most, limit) == (20, 100, 7)
    assert (everything.action, everything.states) == (None, frozenset())
    assert (wanted.action, wanted.states, wanted.since) == (Action.DELETE, {State.COMMITTED}, 1000)


def test_an_inventory_is_as_old_as_its_last_look_at_the_file() -> None:
    clocks = SimpleNamespace(inventories=lambda: {"a@x": "held"})
    store = SimpleNamespace(now=lambda: 10_000)
    given = client(store=store, clocks=clocks)
    assert given.inventories() == (HeldInventory(INVENTORY.digest, 2, Millis(10_000)), {"a@x": "held"})
    read = client(None, store=store, clocks=clocks)
    read._live = SimpleNamespace(age=2.0, current=lambda: INVENTORY)
    assert read.inventories()[0] == HeldInventory(INVENTORY.digest, 2, Millis(8_000))

    def unreadable() -> Inventory:
        raise InvalidInput("no file")

    read._live = SimpleNamespace(age=2.0, current=unreadable)
    assert read.inventories() == (None, {"a@x": "held"})


def test_a_host_that_nobody_knows_is_resumed_only_if_it_is_paused() -> None:
    paused = {name: Pause(HostName(name), "bob", Millis(0), "it is slow") for name in ("node1", "node9")}
    made = client(pauses=SimpleNamespace(resume=paused.get))
    assert [made.resume(name) for name in ("node1", "node9", "node2")] == [*paused.values(), None]
    with pytest.raises(InvalidInput, match='"node8" is not in the inventory'):
        made.resume("node8")


def test_giving_up_on_a_host_takes_a_reason_before_anything_is_looked_at() -> None:
    made = client()
    del made._link.unended
    with pytest.raises(InvalidInput, match="reason"):
        made.abandon("node1", "")


@pytest.mark.parametrize(("pending", "given_up"), [(None, True), (Refusal.NOT_PENDING, False)])
def test_a_host_is_given_up_where_something_is_pending_there(pending: Refusal | None, given_up: bool) -> None:
    made = client(store=SimpleNamespace(operation=lambda _: OPERATION, abandon=lambda *_: pending))
    if given_up:
        assert [each.id for each in made.abandon("node1", "it burned")] == ["7f3c"]
    else:
        with pytest.raises(AbandonRefused, match='host "node1" cannot be abandoned: no decided operation'):
            made.abandon("node1", "it burned")


@pytest.mark.parametrize(
    ("options", "found"), [({}, "ac"), ({"dry_run": True}, "ac"), ({"dry_run": False}, "a")]
)
def test_groups_are_forgotten_only_when_that_is_said(options: dict[str, bool], found: str) -> None:
    done: list[str] = []

    def forget(group: str, before: Millis, dry_run: bool = False) -> str | None:
        assert before == 5000
        if not dry_run:
            done.append(group)
        return None if group == "b" or (group == "c" and not dry_run) else f"{group} is old"

    store = SimpleNamespace(
        groups_with_ends=lambda: ["c", "b", "a"], forget_group=forget, sizes=lambda groups: [len(groups)]
    )
    told = client(store=store).forget_deleted(datetime.fromtimestamp(5, UTC), **options)
    assert told == [(f"{group} is old", 1) for group in found]
    assert done == ([] if options.get("dry_run", True) else ["a", "c"])


def test_what_needs_a_person_is_told_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ages = {"new": 3, "well": 2, "old": 1}
    all_of = [SimpleNamespace(id=name, created_at=at) for name, at in ages.items()]
    monkeypatch.setattr(module, "stuck", lambda each, now: None if each.id == "well" else f"{now}: late")
    monkeypatch.setattr(module, "advised", lambda why, name, steps: (why, steps))
    made = client(store=SimpleNamespace(now=lambda: 7, steps=lambda name: f"steps of {name}"))
    made._link.unended = lambda: all_of
    told = [(cast(Any, each).id, why) for each, why in made.stuck()]
    assert told == [(name, ("7: late", f"steps of {name}")) for name in ("old", "new")]
