"""What `lockstep drift` says, to the character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest

from lockstep.producer.operators.drift import GroupDrift
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.model import GroupId, HostName, Millis, OperationId, Presence
from tests.unit.producer.told import expected, printed

TEAM, THING, OP = GroupId("team-a"), GroupId("vhost/a"), OperationId("7f3c")
ONE, TWO = HostName("node1"), HostName("node2")
HELD = {ONE: Presence.PRESENT, TWO: Presence.ABSENT}
NOWHERE = {ONE: Presence.ABSENT, TWO: Presence.ABSENT}


def differs(group: GroupId, host: HostName) -> Drift:
    return Drift(group, host, End(Presence.PRESENT, OP, Millis(0), "f"), Presence.ABSENT, Millis(0))


ALL_IS_WELL = GroupDrift(TEAM, compared=1)
DRIFTED = GroupDrift(TEAM, (differs(TEAM, ONE),), compared=2)
OF_A_THING = GroupDrift(
    THING, (differs(THING, ONE), differs(THING, TWO)), 2, lines={ONE: ("- a",), TWO: ("- a",)}
)
REPAIR = "\n`lockstep repair GROUP --to present|absent` brings a group back, on all hosts or none\n"
TABLE = "GROUP   HOST   SHOULD BE  IS      BY OPERATION\nteam-a  node1  present    absent  7f3c\n"
CASES: dict[str, tuple[Sequence[GroupDrift], Sequence[str]]] = {
    "none": ((), ()),
    "well": ((ALL_IS_WELL,), ()),
    "all that answered": (
        (GroupDrift(TEAM, compared=1, silent=(TWO,)), GroupDrift(GroupId("b"), compared=2)),
        (),
    ),
    "a thing": ((GroupDrift(THING, compared=2),), ("vhost/a",)),
    "drifted": ((DRIFTED, ALL_IS_WELL), ()),
    "apart": ((GroupDrift(TEAM, unmeasured=HELD),), ()),
    "both": ((DRIFTED, GroupDrift(GroupId("b"), unmeasured=HELD)), ()),
    "strange": ((GroupDrift(TEAM, unmeasured=NOWHERE),), ("team-a",)),
    "not asked by name": ((GroupDrift(TEAM, unmeasured=NOWHERE),), ("7f3c",)),
    "at work": ((GroupDrift(TEAM, owner=OP),), ()),
    "at work, in part": ((GroupDrift(TEAM, owner=OP, compared=1), GroupDrift(GroupId("b"), owner=OP)), ()),
    "at work, and drifted": ((GroupDrift(TEAM, DRIFTED.drifts, compared=1, owner=OP),), ()),
    "of a thing": ((OF_A_THING,), ()),
    "gone": (
        (
            GroupDrift(
                THING, OF_A_THING.drifts, 2, lines=OF_A_THING.lines, gone=(ONE,), secrets=("pin", "key")
            ),
        ),
        (),
    ),
    "overtaken": ((GroupDrift(TEAM, overtaken=True),), ()),
    "untold": ((GroupDrift(THING, untold="its kind is lacking"),), ()),
    "uncovered": (
        (GroupDrift(TEAM, compared=1, uncovered=(TWO,)), GroupDrift(THING, compared=1, uncovered=(TWO,))),
        (),
    ),
    "as JSON": ((OF_A_THING, GroupDrift(GroupId("b"), unmeasured=HELD, uncovered=(TWO,))), ("--json",)),
    "strangers": ((GroupDrift(TEAM, compared=1, strangers=(TWO,)),), ()),
}


def told(name: str) -> tuple[object, list[str]]:
    looked, arguments = CASES[name]
    named = [THING if "/" in each else TEAM for each in arguments if each != "--json"]

    def drift(groups: Sequence[GroupId] | None) -> Iterator[GroupDrift]:
        assert groups == (named or None)
        return iter(looked)

    client = SimpleNamespace(group_of=lambda text: THING if "/" in text else TEAM, drift=drift)
    return client, ["drift", *arguments]


@pytest.mark.parametrize("name", CASES)
def test_what_drift_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(name, *told(name), capsys) == expected("drift.txt")[name]
