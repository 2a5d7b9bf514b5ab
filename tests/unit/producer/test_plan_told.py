"""What `lockstep plan` says, to the character."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lockstep.producer.operators.plan import HostPlan, Plan
from lockstep.worker.operation.model import GroupId, HostName, Millis, OperationId, Presence
from lockstep.worker.operation.waves import Rollout
from tests.unit.producer.told import expected, printed

TEAM, THING, OP = GroupId("team-a"), GroupId("vhost/a"), OperationId("7f3c")
ONE, TWO, THREE = (HostName(f"node{n}") for n in (1, 2, 3))
MADE = HostPlan(ONE, Presence.ABSENT, "POST", None)
SO = HostPlan(TWO, Presence.PRESENT, None, None)
MUTE = HostPlan(THREE, None, None, "no usable answer: 500")
CHANGED = [HostPlan(each, Presence.PRESENT, "update", None, ("- a", "+ b")) for each in (ONE, TWO)]
GONE = HostPlan(THREE, Presence.ABSENT, None, None)


def plan(*hosts: HostPlan, group: GroupId = TEAM, **more: object) -> Plan:
    given = {"verb": "create", "paused": (), "owner": None, **more}
    return Plan(group, hosts=hosts, **given)  # type: ignore[arg-type]


WAVES = {ONE: 2, TWO: 1, THREE: 2}
CASES: dict[str, tuple[Plan, Rollout | None, str]] = {
    "one of two": (plan(MADE, SO), None, ""),
    "nothing": (plan(SO), None, ""),
    "all": (plan(MADE), None, ""),
    "held": (plan(MADE, owner=OP), None, ""),
    "paused": (plan(MADE, MUTE, paused=(THREE, TWO)), None, ""),
    "fails": (plan(MADE, SO, MUTE), None, ""),
    "of a thing": (plan(*CHANGED, GONE, group=THING, owner=OP, loses=("pin", "key")), None, ""),
    "of a thing, fails": (plan(CHANGED[0], MUTE, group=THING), None, ""),
    "as JSON": (plan(MADE, MUTE), None, "--json"),
    "of a thing as JSON": (plan(*CHANGED, GONE, group=THING, loses=("pin",)), Rollout(WAVES), "--json"),
    "in waves": (plan(MADE, SO, HostPlan(THREE, Presence.ABSENT, "POST", None)), Rollout(WAVES, 1500), ""),
    "in one wave": (plan(SO), Rollout({TWO: 1}, hold=True), ""),
    "with a gate": (
        plan(*CHANGED, group=THING),
        Rollout(WAVES, gate=True, hold=True, health={ONE: "/b", TWO: "/a", THREE: "/a"}),
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_plan_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(name, *told(name), capsys) == expected("plan.txt")[name]


def told(name: str) -> tuple[object, list[str]]:
    made, rollout, option = CASES[name]
    client = SimpleNamespace(
        serving=lambda group, names: [],
        rollout=lambda pace, hosts: rollout,
        plan=lambda *_, **__: made,
        now=lambda: Millis(1_700_000_000_123),
    )
    return client, ["plan", "create", made.group, *filter(None, [option])]
