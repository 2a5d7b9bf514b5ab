"""What the commands say that change things or operations, to the character."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.operators.batch import Wish, WishResult
from lockstep.producer.operators.history import Stuck
from lockstep.producer.operators.plan import HostPlan, Plan
from lockstep.producer.process import Stopped
from lockstep.worker.operation.drift import ForgottenGroup
from lockstep.worker.operation.errors import HostUnavailable, RecordGone, WaitTimeout
from lockstep.worker.operation.model import (
    GroupId,
    Hold,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    RolloutState,
    Stage,
    State,
    Step,
)
from lockstep.worker.operation.story import result_of
from lockstep.worker.record.damage import Damage, note
from tests.unit.producer.samples import OPERATION
from tests.unit.producer.stories import START
from tests.unit.producer.told import expected, printed

TEAM, THING, ONE, TWO = GroupId("team-a"), GroupId("vhost/a"), HostName("node1"), HostName("node2")
HOLD = Hold(2, "bob", "let me look", Millis(START + 9000), Millis(START + 86_400_000))
HELD = RolloutState(2, 3, Stage.WAITING, HOLD, None, None)
DONE = tuple(Step(host, outcome=Outcome.APPLIED) for host in (ONE, TWO))
WISHES = (
    Wish("create", TEAM),
    Wish("set", THING),
    Wish("delete", GroupId("c")),
    Wish("create", GroupId("d")),
)
ENDS = ((State.COMMITTED, None), (State.ROLLED_BACK, "500"), (None, "busy"), (State.COMMITTED, None))
CAME = tuple(
    WishResult(wish, OperationId(f"run-{n}"), *end)
    for n, (wish, end) in enumerate(zip(WISHES, ENDS, strict=True), start=1)
)
DAMAGE = Damage("end", "lockstep:ends:team-a", "node1", "no presence")
STUCK = Stuck("node1 does not answer", ("lockstep probe node1", "lockstep abandon 7f3c node1 --reason …"))
GONE = SimpleNamespace(id="0b1d", group="b", action="", at=Millis(START))
CASES = {
    "create": "create team-a",
    "create as JSON": "create team-a --json",
    "create, rolled back": "create refused",
    "create, no wait": "create team-a --no-wait",
    "create again, no wait": "create again --no-wait",
    "create, too long": "create slow",
    "create, too long, as JSON": "create slow --json",
    "create, gone, as JSON": "create gone --json",
    "create, interrupted": "create stop",
    "create, interrupted early": "create early",
    "create, stopped": "create term",
    "abandon": "abandon node1 --reason scrapped",
    "abandon as JSON": "abandon node1 --reason scrapped --json",
    "abandon one": "abandon 7f3c node1 --reason scrapped",
    "abandon one as JSON": "abandon 7f3c node1 --reason scrapped --json",
    "abandon too many": "abandon 7f3c node1 node2 --reason scrapped",
    "cancel": "cancel 7f3c --reason wrong",
    "hold": "hold 7f3c --reason slow",
    "promote": "promote 7f3c",
    "promote another": "promote 7f3c --hold 1",
    "resolve": "resolve 7f3c node1 --restore",
    "resolve and leave": "resolve 7f3c node1 --leave",
    "resolve how": "resolve 7f3c node1",
    "apply": "apply FILE --resume 5d0c",
    "apply as JSON": "apply FILE --resume 5d0c --json",
    "apply, all well": "apply WELL --resume 5d0c",
    "apply, at a loss": "apply WELL --resume 5d0c --accept-loss",
    "apply, plan": "apply FILE --plan",
    "apply, plan, as JSON": "apply WELL --plan --json",
    "exists": "exists node1 there",
    "exists not": "exists node1 team-a --json",
    "exists, silent": "exists node1 silent",
    "exists, silent, as JSON": "exists node1 silent --json",
    "stuck": "list --stuck",
    "stuck as JSON": "list --stuck --json",
    "only gone": "list --stuck",
    "only failing": "list --stuck",
    "only damage": "list --stuck",
    "only nothing": "list --stuck",
    "nothing": "list",
    "history": "history --since 2h --until 2024-01-31T00:00:00Z",
    "repair": "repair vhost/a",
    "repair as JSON": "repair vhost/a --json",
    "repair nothing": "repair vhost/well",
    "repair how": "repair team-a",
    "repair a group": "repair team-a --to absent",
    "forget": "forget --deleted-before 90d",
    "forget, and do it": "forget --deleted-before 90d --yes",
    "forget as JSON": "forget --deleted-before 2023-01-31 --json",
}


class Client:
    """Answers whatever is asked."""

    created_at = OPERATION.created_at

    def __init__(self, forgotten: int, only: str = "") -> None:
        self.only = only
        self.asked: list[str] = []
        self.forgotten = [
            ForgottenGroup(GroupId(f"team-{n}"), n, Millis(START - n * 1000)) for n in range(1, forgotten + 1)
        ]

    def now(self) -> Millis:
        return Millis(START)

    def operation(self, verb: str, group: str, state: State = State.COMMITTED) -> Any:
        status = replace(
            OPERATION, verb=verb, group=GroupId(group), state=state, reason="node1 refused (403)"
        )

        def wait(*given: Any) -> Any:
            if len(given) > 1:
                given[1](status)
            if group == "slow":
                raise WaitTimeout("it goes on")
            if group in ("stop", "term"):
                raise KeyboardInterrupt if group == "stop" else Stopped(signal.SIGTERM)
            return result_of(status, DONE)

        def read() -> Any:
            if group == "gone":
                raise RecordGone("no record")
            return status

        return SimpleNamespace(
            id=OPERATION.id,
            group=group,
            verb=verb,
            action=verb,
            existing=group == "again",
            wait=wait,
            status=read,
            steps=lambda: DONE,
            abandon=lambda *given: self.asked.append(f"abandon {' '.join(given)}"),
            cancel=lambda reason: self.asked.append(f"cancel {reason}"),
            hold=lambda _: HELD,
            promote=lambda reason, number: None if number == 1 else HOLD,
        )

    def find(self, _: str) -> Any:
        return self.operation("create", TEAM)

    def resolve(self, *_: object, **__: object) -> Any:
        return self.find("")

    def abandon(self, *_: object) -> Any:
        return [self.find(""), self.operation("delete", "b")]

    def change(self, verb: str, name: str, *_: object, on_accepted: Any, **given: object) -> Any:
        self.asked.append(" ".join(f"{each}={given[each]}" for each in ("accept_loss", "upsert")))
        if name == "early":
            raise KeyboardInterrupt
        made = self.operation(verb, name, State.ROLLED_BACK if name == "refused" else State.COMMITTED)
        on_accepted(made)
        if name == "gone":
            raise RecordGone("its record is gone")
        return made

    def select(self, *_: object, **__: object) -> Any:
        return [ONE, TWO]

    def wishes(self, text: str, *_: object, accept_loss: bool, **__: object) -> Any:
        self.asked.append(f"accept_loss={accept_loss}")
        return WISHES[:1] if text == "well" else WISHES

    def apply(self, wishes: Any, *_: object, **__: object) -> Iterator[WishResult]:
        yield from CAME[: len(wishes)]

    def serving(self, *_: object, some: bool) -> Any:
        self.asked.append(f"some={some}")
        return []

    def rollout(self, *_: object) -> None: ...

    def plan(self, verb: str, group: GroupId, *_: object, **__: object) -> Plan:
        problem = "no usable answer" if group == "c" else None
        lines = ("- a", "+ b") if "/" in group else ()
        call = None if problem else "POST"
        return Plan(group, verb, (HostPlan(ONE, Presence.ABSENT, call, problem, lines),), (), None)

    def exists(self, host: str, group: str) -> bool:
        if group == "silent":
            raise HostUnavailable("no usable answer from node1")
        return group == "there"

    def stuck(self) -> Any:
        return [] if self.only else [(OPERATION, STUCK)]

    def gone(self) -> Any:
        return [(GONE, STUCK)] if self.only in ("", "gone") else []

    def failing(self) -> Any:
        return {"sweep": "TypeError: no"} if self.only in ("", "failing") else {}

    def look_for_damage(self, groups: object) -> None:
        if self.only == "damage":
            note(DAMAGE)

    def operations(self, limit: int) -> Any:
        return []

    def history(self, *, since: object, until: object, **_: object) -> Any:
        self.asked += [f"since={since}", f"until={until}"]
        return []

    def repair(self, thing: str, *, accept_loss: bool) -> Any:
        states = (State.COMMITTED, State.ROLLED_BACK) if thing == THING else ()
        return [self.operation("set", thing, state) for state in states]

    def forget_deleted(self, before: object, *, dry_run: bool) -> Any:
        self.asked.append(f"before={before}")
        return [(each, 1024) for each in self.forgotten[: 22 if dry_run else 20]]


def told(name: str, folder: Path) -> tuple[Client, list[str]]:
    arguments = CASES[name].split()
    for each in ("FILE", "WELL"):
        if each in arguments:
            (folder / each).write_text(each.lower())
            arguments[arguments.index(each)] = str(folder / each)
    only = name.removeprefix("only ") if name.startswith("only ") else ""
    return Client(2 if "--json" in arguments else 22, only), arguments


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_what_is_changed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(name, *told(name, tmp_path), capsys) == expected("changing.txt")[name]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("abandon one", ["abandon node1 scrapped"]),
        ("cancel", ["cancel wrong"]),
        ("create", ["accept_loss=False upsert=False"]),
        ("apply, all well", ["accept_loss=False"]),
        ("apply, at a loss", ["accept_loss=True"]),
        ("apply, plan, as JSON", ["accept_loss=True", "some=True"]),
        ("history", ["since=2023-11-14 20:13:20.123000+00:00", "until=2024-01-31 00:00:00+00:00"]),
        ("forget", ["before=2023-08-16 22:13:20.123000+00:00"]),
    ],
)
def test_what_is_asked_for_is_handed_on(
    name: str, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, arguments = told(name, tmp_path)
    printed(name, client, arguments, capsys)
    assert client.asked == asked
