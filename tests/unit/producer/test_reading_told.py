"""What the commands say that read the record or ask hosts, to the character."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.operators.hosts import HostStatus
from lockstep.producer.operators.plan import SyncItem
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import StoreUnavailable
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
from lockstep.worker.record.reports import HeldInventory
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
CUT = (PLAN[0], SyncItem(GroupId("stop"), Presence.ABSENT, Action.CREATE, "left present by 7f3c"))
FINDINGS = (
    Finding("Redis", Level.OK, "it answers"),
    Finding("host", Level.WARNING, "node1: \x1b[2J", "look at it"),
    Finding("worker", Level.FAILURE, "none", None),
)
HERE = HeldInventory("3f2a", 2, Millis(START))
THERE = {"a@x": HERE, "b@x": HeldInventory("77aa", 3, Millis(START), "not plain YAML")}
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
    "sync, nobody to ask": "sync node1",
    "sync, interrupted": "sync node3 --yes",
    "doctor": "doctor",
    "doctor as JSON": "doctor --json",
    "show as JSON": "show held --json",
    "show in waves": "show held",
    "watch": "watch",
    "watch as JSON": "watch --json",
    "watch one": "watch 7f3c",
    "watch one as JSON": "watch held --json",
    "sync, unsure": "sync node2 --yes",
    "exists": "exists node1 team-a",
}
READ = ((OPERATION, STEPS[:1], None), (None, STEPS[:1], OPERATION), (SETTLING, STEPS[:2], None))
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

    def begun(verb: str, group: GroupId, hosts: list[str]) -> object:
        if group == "stop":
            raise KeyboardInterrupt
        states = {TEAM: State.COMMITTED, "b": State.ROLLED_BACK}
        reason = "node1 refused (403)"
        status = replace(OPERATION, group=group, state=states[group], reason=reason)
        return SimpleNamespace(id=OPERATION.id, verb=verb, wait=lambda: result_of(status, [step]))

    operation = {"held": LISTED[0], "decided": DECIDED}.get(" ".join(arguments[1:2]), SETTLING)
    steps = [replace(step, wave=2 - n % 2) for n, step in enumerate(STEPS)] if operation.rollout else STEPS
    handle = SimpleNamespace(
        id=SETTLING.id, status=lambda: operation, steps=lambda: steps, watch_hosts=lambda: READ
    )
    readings = iter(((OPERATION,), None, (SETTLING, OPERATION)))

    def operations(limit: int) -> tuple[Status, ...]:
        if arguments[0] == "list":
            return LISTED[:limit]
        try:
            found = next(readings)
        except StopIteration:
            raise KeyboardInterrupt from None
        if found is None:
            raise StoreUnavailable("gone")
        return found

    client = SimpleNamespace(
        find=lambda _: handle,
        now=lambda: NOW,
        methods=lambda _: {},
        differences=lambda _: {} if operation.rollout else {ONE: ("- a", "+ b"), TWO: ()},
        inventories=lambda: (HERE, THERE) if operation.rollout else (None, {}),
        operations=operations,
        look_for_damage=lambda groups: None,
        select=lambda *_, **__: None,
        hosts=lambda names: HOSTS,
        pause=lambda host, why: PAUSED if "--json" in arguments else None,
        resume=lambda host: PAUSED,
        sync_plan=lambda host: {ONE: PLAN, TWO: UNSURE}.get(host, CUT),
        create_group=partial(begun, "create"),
        delete_group=partial(begun, "delete"),
        examine=lambda: iter(FINDINGS),
        exists=lambda host, group: False,
    )
    return client, arguments


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Whatever would be slept."""
    found: list[float] = []
    monkeypatch.setattr("lockstep.producer.cli.commands.watch.time", SimpleNamespace(sleep=found.append))
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_what_is_read(
    name: str, naps: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(name, *told(name), capsys) == expected("reading.txt")[name]
    assert naps == ([1.0] * 3 if name in ("watch", "watch as JSON") else [])


class Asked(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code", "begun"), [("n", 130, 0), ("y", 1, 1)])
def test_a_person_is_asked_before_a_host_is_synced(
    answer: str, code: int, begun: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Asked(f"{answer}\n"))
    said = printed("sync", *told("sync, nobody to ask"), capsys)
    assert said.startswith(f"sync: {code}\n")
    assert (
        said.count("Carry this out for 2 groups on node1? [y/N]:") == 1
    )  # an old click says the blank apart
    assert said.count("created group") == begun
