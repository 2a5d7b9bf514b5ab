"""What the commands say that read the record or ask hosts, to the character."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from lockstep.producer.operators.hosts import HostStatus
from lockstep.producer.operators.plan import SyncItem
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.host import Pause, Silence
from lockstep.worker.operation.model import (
    Action,
    Decision,
    GroupId,
    Hold,
    HostName,
    Millis,
    Moment,
    OperationId,
    Outcome,
    Presence,
    RolloutState,
    Stage,
    State,
    Status,
    Step,
)
from lockstep.worker.operation.story import result_of
from tests.unit.producer.samples import OPERATION
from tests.unit.producer.stories import ROLLED_BACK, START, STEPS
from tests.unit.producer.told import expected, printed

TEAM, ONE, TWO = GroupId("team-a"), HostName("node1"), HostName("node2")
NOW, DAY = Millis(START + 90_000), 86_400_000
HOLD = Hold(2, "bob", "let me look", Millis(START + 9000), Millis(START + DAY))
HELD_THEN = (Moment(Millis(START + 9000), "held", 2, "bob: let me look"),)
DONE = (Moment(Millis(START + 1000), "done", 1), Moment(Millis(START + 3500), "wave", 2))


def in_waves(stage: Stage, hold: Hold | None = None, moments: tuple[Moment, ...] = ()) -> Status:
    return replace(
        OPERATION,
        rollout=RolloutState(
            *(2, 3, stage, hold, Millis(START + 60_000), Millis(START + DAY)), round=4, moments=moments
        ),
    )


SETTLING = replace(ROLLED_BACK, settling=True, pending_hosts=(ONE, TWO), stalled_hosts=(ONE,))
DECIDED = replace(
    in_waves(Stage.WORKING, None, DONE), decision=Decision.COMMIT, decided_at=Millis(START + 5000)
)
PAUSED = Pause(ONE, "bob", Millis(START), "disk swap")
DRIFTS = tuple(
    Drift(TEAM, ONE, End(Presence.PRESENT, OperationId("7f3c"), Millis(0), "f"), Presence.ABSENT, Millis(at))
    for at in (START, START + 1000)
)
HOSTS = (
    HostStatus(ONE, "http://node1:1", {"zone": "eu", "role": "db"}, True, "404", PAUSED, None, 0, DRIFTS),
    HostStatus(
        *(TWO, "http://node2:1", {}, False, "connection refused", None),
        *(Silence(TWO, Millis(START), Millis(START + 9000), 3, "connection refused"), 9000, ()),
    ),
)
PLAN = (
    SyncItem(TEAM, Presence.ABSENT, Action.CREATE, "left present by 7f3c"),
    SyncItem(GroupId("b"), Presence.PRESENT, Action.DELETE, "left absent by 7f3c"),
    SyncItem(GroupId("c"), Presence.PRESENT, None, "as it should be"),
)
UNSURE = (*PLAN[2:], SyncItem(GroupId("d"), Presence.PRESENT, None, "nobody can tell", certain=False))
CASES = {
    "status": "status 7f3c",
    "status as JSON": "status 7f3c --json",
    "status in waves": "status held",
    "status of waves that are decided": "status decided",
    "show": "show 7f3c",
    "list": "list",
    "list as JSON": "list --limit 2 --json",
    "hosts": "hosts",
    "hosts as JSON": "hosts --json",
    "pause": "pause node1 --why swap",
    "pause as JSON": "pause node1 --why swap --json",
    "resume": "resume node1",
    "resume as JSON": "resume node1 --json",
    "sync, dry": "sync node1 --dry-run",
    "sync": "sync node1 --yes",
    "sync as JSON": "sync node1 --yes --json",
    "sync, dry, as JSON": "sync node1 --dry-run --json",
    "sync, unsure": "sync node2 --yes",
    "exists": "exists node1 team-a",
}
LISTED = (
    in_waves(Stage.WAITING, HOLD, HELD_THEN),
    in_waves(Stage.WORKING),
    in_waves(Stage.BAKING, None, (Moment(Millis(START + 9000), "released", 2, "eve"),)),
    in_waves(Stage.GATING),
    DECIDED,
    SETTLING,
    *(replace(OPERATION, created_at=Millis(NOW - DAY - more)) for more in (0, 1)),
)


def told(name: str) -> tuple[object, list[str]]:
    arguments = CASES[name].split()
    step = Step(ONE, outcome=Outcome.APPLIED)

    verbs: dict[str, str] = {due.group: str(due.action) for due in PLAN}

    def begun(group: GroupId, hosts: list[str]) -> object:
        states = {TEAM: State.COMMITTED, "b": State.ROLLED_BACK}
        reason = "node1 refused (403)"
        status = replace(OPERATION, group=group, state=states[group], reason=reason)
        return SimpleNamespace(id=OPERATION.id, verb=verbs[group], wait=lambda: result_of(status, [step]))

    operation = {"held": LISTED[0], "decided": DECIDED}.get(arguments[-1], SETTLING)
    steps = [replace(step, wave=2 - n % 2) for n, step in enumerate(STEPS)] if operation.rollout else STEPS
    handle = SimpleNamespace(id=SETTLING.id, status=lambda: operation, steps=lambda: steps)
    client = SimpleNamespace(
        find=lambda _: handle,
        now=lambda: NOW,
        methods=lambda _: {},
        differences=lambda _: {ONE: ("- a", "+ b"), TWO: ()},
        inventories=lambda: (None, {}),
        operations=lambda limit: LISTED[:limit],
        look_for_damage=lambda groups: None,
        select=lambda *_, **__: None,
        hosts=lambda names: HOSTS,
        pause=lambda host, why: PAUSED if "--json" in arguments else None,
        resume=lambda host: PAUSED,
        sync_plan=lambda host: PLAN if host == ONE else UNSURE,
        create_group=begun,
        delete_group=begun,
        exists=lambda host, group: False,
    )
    return client, arguments


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_what_is_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(name, *told(name), capsys) == expected("reading.txt")[name]
