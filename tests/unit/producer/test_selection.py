"""Hosts by name and label: what is chosen, and what is refused because it can only be a mistake."""

from __future__ import annotations

import pytest

from lockstep.producer.client.selection import select
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName

LABELS: dict[str, dict[str, str]] = {
    "node1": {"zone": "eu", "role": "db"},
    "node2": {"zone": "eu", "role": "web"},
    "node3": {"zone": "us", "role": "web"},
    "node4": {"zone": "eu"},
}
INVENTORY = Inventory(
    Host(HostName(name), f"http://{name}:80", labels=labels) for name, labels in LABELS.items()
)


@pytest.mark.parametrize(
    ("names", "where", "except_", "chosen"),
    [
        (None, [], [], ["node1", "node2", "node3", "node4"]),
        (["node3", "node1"], [], [], ["node3", "node1"]),
        (None, ["zone=eu"], [], ["node1", "node2", "node4"]),
        (None, ["zone=eu", "role!=db"], [], ["node2", "node4"]),
        (None, [" zone = eu "], ["node4"], ["node1", "node2"]),
        (["node1", "node3"], ["zone=us"], [], ["node3"]),
        (None, [], ["node1", "node1"], ["node2", "node3", "node4"]),
    ],
)
def test_hosts_that_meet_every_condition_are_chosen(
    names: list[str] | None, where: list[str], except_: list[str], chosen: list[str]
) -> None:
    assert [host.name for host in select(INVENTORY, names, where, except_)] == chosen


@pytest.mark.parametrize(
    ("names", "where", "except_", "said"),
    [
        (None, ["zone"], [], 'condition "zone" is neither label=value nor label!=value'),
        (None, ["=eu"], [], 'condition "=eu" is neither'),
        (None, ["!=eu"], [], 'condition "!=eu" is neither'),
        (None, ["zone="], [], 'condition "zone=" is neither'),
        (None, [5], [], "condition 5 is of type int"),
        (None, "zone=eu", [], 'where "zone=eu" is of type str: give a list'),
        (None, None, [], "where None is of type NoneType"),
        (None, [], "node1", 'except_ "node1" is of type str: give a list'),
        (None, ["rol!=db"], [], 'no host has the label "rol"; known: "role", "zone"'),
        (None, [], ["node9"], 'host "node9" is not in the inventory'),
        (["node9"], ["zone=eu"], [], 'host "node9" is not in the inventory'),
        (["node1"], [], ["node1"], "no host is left: all 1 that were selected are excepted"),
        (
            None,
            ["zone=asia", "role=db"],
            [],
            'no host meets zone=asia and role=db; among the 4 hosts asked for zone is "eu", "us", role is',
        ),
    ],
)
def test_a_choice_of_no_host_or_by_what_is_unknown_is_refused(
    names: list[str] | None, where: list[str], except_: list[str], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        select(INVENTORY, names, where, except_)
    assert said in str(refused.value)


@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, ", … (11 in all)")])
def test_ten_of_the_labels_that_there_are_are_named(count: int, more: str) -> None:
    labels = [f"l{number:02}" for number in range(count)]
    inventory = Inventory([Host(HostName("node1"), "http://node1:80", labels=dict.fromkeys(labels, "x"))])
    with pytest.raises(InvalidInput) as refused:
        select(inventory, None, ["zone=eu"])
    named = ", ".join(f'"{label}"' for label in labels[:10])
    assert str(refused.value) == f'no host has the label "zone"; known: {named}{more}'


def test_where_no_host_has_a_label_none_is_named() -> None:
    inventory = Inventory([Host(HostName("node1"), "http://node1:80")])
    with pytest.raises(InvalidInput, match=r'no host has the label "zone"; known: none$'):
        select(inventory, None, ["zone=eu"])
