"""Which operation or group a text means, by what the link knows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.client.selection import find, group_of, looks_like
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput, RecordGone, StoreUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, Loss, Millis, OperationId, Status
from tests.unit.producer.samples import OPERATION

INVENTORY = Inventory([Host(HostName("node1"), "http://node1:80")])
LOST = Loss(OperationId("7f00"), GroupId("team-b"), Action.CREATE, Millis(0))


def link(
    kept: tuple[Status, ...] = (),
    lost: tuple[Loss, ...] = (),
    held: bool = False,
    ends: bool = False,
    elsewhere: Callable[[str], Any] = lambda key: None,
) -> Any:
    """A link to a record of these operations; `asked` is what its costlier questions were about."""
    records = {each.id: each for each in kept}
    asked: list[object] = []

    def ids(pattern: str) -> set[OperationId]:
        return {each for each in records if each.startswith(pattern.removesuffix("*"))}

    def newest(count: int) -> list[OperationId]:
        asked.append(count)
        return list(records)

    def home(key: str, within: float) -> Any:
        asked.append(within)
        return elsewhere(key)

    store = SimpleNamespace(
        operation=records.get,
        lost=lambda: {each.id: each for each in lost},
        lock_owner=lambda group: "owner" if held else None,
        ends=lambda group: {"node1": "end"} if ends else {},
    )
    return SimpleNamespace(store=store, ids=ids, newest=newest, elsewhere=home, asked=asked)


def kept(*names: str) -> tuple[Status, ...]:
    return tuple(replace(OPERATION, id=OperationId(name)) for name in names)


@pytest.mark.parametrize("text", ["7f00", "7f0", "7"])
def test_a_record_that_is_lost_is_found_by_its_id_or_the_beginning(text: str) -> None:
    with pytest.raises(RecordGone, match='the record of operation "7f00"'):
        find(link(lost=(LOST,)), text, lambda: INVENTORY)


def test_the_id_of_a_lost_record_is_no_beginning_of_others() -> None:
    with pytest.raises(RecordGone, match='the record of operation "7f00"'):
        find(link(kept("7f001"), (LOST,)), "7f00", lambda: INVENTORY)


def test_lost_records_count_among_the_several_that_begin_alike() -> None:
    with pytest.raises(InvalidInput, match="is the beginning of several: 7f00, 7f11; give more of it"):
        find(link(kept("7f11"), (LOST,)), "7f", lambda: INVENTORY)
    assert find(link(kept("7f11"), (LOST,)), "7f1", lambda: INVENTORY).id == "7f11"


@pytest.mark.parametrize(
    ("held", "ends", "meant"),
    [(False, False, "team-a"), (True, False, "7f1"), (False, True, "7f1"), (True, True, "7f1")],
)
def test_a_group_that_is_held_or_known_is_meant_before_an_operation(
    held: bool, ends: bool, meant: str
) -> None:
    assert group_of(link(kept("7f11"), held=held, ends=ends), "7f1") == meant
    assert group_of(link(), "7f1") == "7f1", "whatever is no operation is a group"
    told = looks_like(link(held=held, ends=ends), OperationId("7f1"), lambda: INVENTORY)
    assert told.partition(":")[0] == ("it is a group" if held or ends else "")


@pytest.mark.parametrize(
    ("near", "said"),
    [
        (["abcdeX"], "it looks like abcdeX, mistyped"),
        (["abcdX"], ""),  # two characters of five are wrong
        (["abcdeX", "abcdeY", "abcdeZ", "abcdeW"], " or "),
    ],
)
def test_an_id_with_one_wrong_character_is_taken_for_mistyped(near: list[str], said: str) -> None:
    made = link(kept(*near))
    told = looks_like(made, OperationId("abcdef"), lambda: INVENTORY)
    assert said in told
    assert told.count(" or ") == (2 if len(near) > 1 else 0), "three at most"
    assert made.asked == ([5000] if told else [5000, 3.0])


@pytest.mark.parametrize(
    ("found", "said"), [("abcdef", "it is in database 3"), ("abcdef99", "abcdef99 is in database 3")]
)
def test_an_operation_of_another_database_is_named_as_it_is_there(found: str, said: str) -> None:
    made = link(elsewhere=lambda key: (3, "theirs:", found))
    told = looks_like(made, OperationId("abcdef"), lambda: INVENTORY)
    assert told.startswith(f'{said} under the key prefix "theirs:": see ')


def test_a_look_elsewhere_that_fails_is_no_reason_to_fail() -> None:
    def silent(_: str) -> Any:
        raise StoreUnavailable("Redis does not answer")

    def unreadable() -> Inventory:
        raise InvalidInput("it cannot be read")

    assert looks_like(link(elsewhere=silent), OperationId("abcdef"), unreadable) == ""
    assert looks_like(link(), OperationId("node1"), lambda: INVENTORY).startswith("it is a host of the inv")
