"""What a file of groups means, and the ids that make a run resumable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.operators.batch import RUN_LENGTH, Wish, operation_id, parse_run, parse_wishes
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Action, GroupId, HostName
from lockstep.worker.operation.names import parse_operation_id

A, B = Wish(Action.CREATE, GroupId("team-a")), Wish(Action.DELETE, GroupId("team-b"))
ONE, TWO = HostName("node1"), HostName("node2")


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("team-a\n", (A,)),
        ("# all\n\n  team-a  # ours\nteam-a\n", (A,)),
        ("present: [team-a]\nabsent:\n- team-b\n", (A, B)),
        ("absent: [team-b]\npresent:\n", (B,)),
    ],
)
def test_wishes(text: str, wishes: tuple[Wish, ...]) -> None:
    assert parse_wishes(text) == wishes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no groups"),
        ("present: []", "there are no groups"),
        ("team a", 'group id "team a" has a character outside'),
        ("present: [team-a]\nabsent: [team-a]", 'group "team-a" shall be both present and absent'),
        ("present: [5]", "group id 5 is of type int"),
        ("present: team-a", "present is no list"),
        ("present: [a]\ngone: [b]", 'unknown key "gone"'),
        ("present: [a", "not plain YAML"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_wishes(text)
    assert said in str(refused.value)


def test_an_id_is_the_same_for_the_same_wish_alone() -> None:
    mine = operation_id("run", A, [ONE, TWO])
    assert mine == operation_id("run", A, [TWO, ONE])
    others = [
        operation_id("run", A, [ONE]),
        operation_id("run", B, [ONE, TWO]),
        operation_id("r", A, [ONE, TWO]),
        operation_id("run", replace(A, target="d1"), [ONE, TWO]),
    ]
    assert len({mine, *others}) == 5
    sealed = replace(A, fields={"value": "canary"})
    assert mine == operation_id("run", sealed, [ONE, TWO]), "nobody can try what a field holds"
    assert "canary" not in repr(sealed)


def test_the_longest_run_has_room_for_its_operations() -> None:
    assert parse_operation_id(operation_id(parse_run("r" * RUN_LENGTH), A, [ONE]))
    with pytest.raises(InvalidInput, match="too long"):
        parse_run("r" * (RUN_LENGTH + 1))
