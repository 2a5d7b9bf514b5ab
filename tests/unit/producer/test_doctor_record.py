"""What doctor reads of the record: which hosts lack what others hold, and whether it can be read."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

from lockstep.producer.doctor import facts
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.drift import End
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, Millis, OperationId, Presence
from lockstep.worker.operation.thing import ABSENT, Digest, ThingEnd
from lockstep.worker.record.damage import Damage, note
from lockstep.worker.record.link import Link
from tests.unit.producer.samples import OPERATION

HOSTS = [Host(HostName(f"node{number}"), f"http://node{number}:1") for number in (1, 2, 3, 4, 5)]


def ends(presence: Presence, *hosts: int) -> dict[HostName, End]:
    end = End(presence, OperationId("op"), Millis(0), "print")
    return {HOSTS[number - 1].name: end for number in hosts}


def left(text: str | None, *hosts: int) -> dict[HostName, ThingEnd]:
    end = ThingEnd(Digest("d") if text else ABSENT, OperationId("op"), Millis(0), "print", text)
    return {HOSTS[number - 1].name: end for number in hosts}


GROUPS = {
    "team-a": ends(Presence.PRESENT, 1, 2, 3, 4),
    "team-b": ends(Presence.ABSENT, 1, 2, 3),
}
THINGS = {
    "vhost/a": left("{}", 1, 2, 3, 5),
    "vhost/b": left("{}", 1, 2, 3, 4, 5),
    "vhost/gone": left(None, 1),
    "user/a": left("{}", 1, 2, 4, 5),
}


def test_hosts_that_lack_groups_or_things_of_a_kind_are_told() -> None:
    store = SimpleNamespace(
        now=lambda: Millis(0),
        ends=GROUPS.get,
        groups_with_ends=lambda: iter(GROUPS),
        things=lambda: iter(THINGS),
        contents_left=THINGS.get,
    )
    link = SimpleNamespace(store=store, clocks=SimpleNamespace(inventories=dict))
    found = facts._on_inventory(cast(Link, link), Inventory(HOSTS))
    assert [each.text.removesuffix(" covered it: it lacks what others hold") for each in found] == [
        "node5: no operation on 1 of 1 group",
        "node3: no operation on 1 of 1 user",
        "node4: no operation on 1 of 2 vhosts",
    ]


def test_what_is_short_is_read_whole_and_of_the_rest_the_newest() -> None:
    asked: list[object] = []
    damaged = Damage("end", "lockstep:ends:a", "node1", "it is no JSON")

    def steps(operation: OperationId) -> None:
        asked.append(operation)
        note(damaged)

    def look(groups: Iterable[GroupId]) -> None:
        asked.append(len(list(groups)))

    link = SimpleNamespace(
        unended=lambda: [OPERATION],
        store=SimpleNamespace(
            steps=steps,
            operations=lambda number: asked.append(("newest", number)),
            groups_with_ends=lambda: (GroupId(f"team-{number}") for number in range(1000)),
        ),
        look_for_damage=look,
    )
    assert list(facts._damage(cast(Link, link))) == [damaged]
    assert asked == [OPERATION.id, ("newest", facts.NEWEST), facts.GROUPS]
