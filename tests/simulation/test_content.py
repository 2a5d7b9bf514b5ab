"""Schedules with content: hosts that rewrite or ignore, late writes, kills, and third hands."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply, Trouble
from lockstep.worker.operation.content import Id, Shown, WriteAnswer
from lockstep.worker.operation.model import HostName, State, Step, Undo
from tests.contract.bench import LIMITS, UNIT
from tests.contract.contents import Node
from tests.contract.test_content_steps import Rig
from tests.unit.kinds.made import record

SCHEDULES = 150
ROUNDS = 160
VALUES = (None, "a", "b", "c")


class Killed(BaseException):
    """The worker is gone, in the middle of its step."""


class WildNode(Node):
    """A node that chance has a hand in."""

    def __init__(self, name: str, chance: random.Random, now: Callable[[], int]) -> None:
        super().__init__(name)
        self.chance, self.now = chance, now
        self.rewrites = chance.random() < 0.3
        self.wild = True
        self.late: list[tuple[int, HttpRequest]] = []
        self.thirds: list[Any] = []
        self.depth: Callable[[], int] = lambda: 0
        self.looked: dict[int, Any] = {}
        """What the last look of each worker showed; they work inside one another."""
        self.ours = False
        """Whether a write of ours may have taken effect, or may yet."""
        self.between: Callable[[], None] = lambda: None
        """What happens between any two calls: a kill, or another worker's step."""
        self.holds = self.form(chance.choice(VALUES))
        self.first = self.holds

    def form(self, value: str | None) -> dict[str, Any] | None:
        if value is None:
            return None
        return record(value.upper() if self.rewrites else value)

    def land(self) -> None:
        """By A1 whatever had reached the host takes effect within the settle window."""
        due = [each for each in self.late if each[0] <= self.now()]
        self.late = [each for each in self.late if each[0] > self.now()]
        for _, request in due:
            super().answer(request)

    def look_at_thing(self, kind: Kind, thing: Id) -> Shown:
        self.between()
        self.land()
        if self.wild and self.chance.random() < 0.1:
            return kind.shown(thing, NoReply(Trouble.LOST, "read timeout"))
        self.looked[self.depth()] = self.holds
        return super().look_at_thing(kind, thing)

    def send(self, *asked: Any) -> WriteAnswer:
        knows = self.looked.get(self.depth())
        assert not (self.ours and knows is not None and knows in self.thirds), "a third hand is written over"
        self.between()
        return super().send(*asked)

    def answer(self, request: HttpRequest) -> Reply | NoReply:
        self.land()
        if self.wild:
            fate = self.chance.random()
            if fate < 0.1:
                self.ours = True
                self.late.append((self.now() + self.chance.randrange(LIMITS.settle), request))
                return NoReply(Trouble.LOST, "read timeout")
            if fate < 0.15:
                return NoReply(Trouble.NOT_SENT, "connection refused")
            limits = {0.2: "refuse", 0.27: "ignore", 0.32: "lose", 0.4: "late"}
            self.manners = [next((each for limit, each in limits.items() if fate < limit), "")]
        said = super().answer(request)
        self.ours = self.ours or isinstance(said, NoReply) or said.status < 400
        return said

    def usurp(self) -> None:
        """A third hand writes."""
        self.land()
        name = f"third{len(self.thirds)}"
        self.holds = record(name.upper() if self.rewrites else name, ttl=5)
        self.thirds.append(self.holds)


class Schedule:
    """One operation on a few wild nodes, driven by chance."""

    def __init__(self, seed: int, third_hands: bool) -> None:
        self.chance = chance = random.Random(seed)
        names = [HostName(name) for name in "abc"[: chance.randint(1, 3)]]
        self.verb = chance.choice(["create", "set", "delete"])
        self.value = chance.choice(["a", "b", "c"])
        content = {"values": [self.value], "ttl": 60, "note": "mine"}
        given: dict[str, Any] = {} if self.verb == "delete" else content
        self.nodes = {name: WildNode(name, chance, self.now) for name in names}
        self.rig = Rig(self.verb, *self.nodes.items(), **given)
        self.depth, self.third_hands = 0, third_hands
        for name, node in self.nodes.items():
            node.depth = lambda: self.depth
            node.between = lambda name=name: self.between(name)  # type: ignore[misc]

    def now(self) -> int:
        return self.rig.bench.time

    def between(self, name: HostName) -> None:
        """Between two calls of a step: its worker dies, another one works on the same host, or nothing."""
        fate = self.chance.random()
        if fate < 0.05:
            raise Killed
        if fate < 0.12 and self.depth < 2:
            self.step(name)
        self.rig.bench.pass_time(UNIT * self.chance.choice([0, 0, 1, 5]))

    def step(self, name: HostName) -> None:
        self.depth += 1
        try:
            self.rig.work(name, self.rig.kept)
        except Killed:
            if self.depth > 1:
                raise
        finally:
            self.depth -= 1

    def run(self) -> None:
        rig = self.rig
        for number in range(ROUNDS):
            kept = rig.kept
            if kept.ended:
                break
            if number > ROUNDS // 2:
                for node in self.nodes.values():
                    node.wild = False
            if kept.decision is None and self.chance.random() < 0.01:
                rig.bench.memory.cancel(rig.id, "somebody")
            if self.third_hands and number < ROUNDS // 4 and self.chance.random() < 0.05:
                self.chance.choice(list(self.nodes.values())).usurp()
            self.step(self.chance.choice(list(self.nodes)))
            rig.bench.memory.claim(rig.id)
            rig.bench.pass_time(UNIT * self.chance.choice([1, 10, 40]))
        for node in self.nodes.values():
            rig.bench.pass_time(LIMITS.settle)
            before = node.holds
            node.land()
            at_work = rig.state in (State.APPLYING, State.ROLLING_BACK)
            assert at_work or node.holds == before, "nothing lands late"

    def judge(self) -> None:
        """The promises, whatever happened."""
        rig = self.rig
        steps: dict[HostName, Step] = {step.host: step for step in rig.bench.memory.steps(rig.id)}
        kept = rig.kept
        if not kept.ended:
            traces = {host: steps[host].trace for host in kept.pending_hosts}
            waiting = [host for host, trace in traces.items() if trace is not None and trace.foreign]
            assert list(kept.pending_hosts) == waiting, ("only a person can go on", kept, steps)
            assert all(self.nodes[host].thirds for host in waiting)
            return
        for host, node in self.nodes.items():
            wanted = None if self.verb == "delete" else node.form(self.value)
            if kept.state is State.COMMITTED:
                assert node.holds == wanted or node.holds in node.thirds, (host, node.holds, wanted)
            else:
                assert node.holds == node.first or node.holds in node.thirds, (host, node.holds, node.first)
                assert steps[host].undo in (Undo.NONE, Undo.RESTORED)
            if not node.thirds:
                assert node.holds == (wanted if kept.state is State.COMMITTED else node.first)


@pytest.mark.parametrize("third_hands", [False, True], ids=["nobody else writes", "third hands"])
def test_every_schedule_ends_with_what_is_promised(third_hands: bool) -> None:
    ends = set()
    for seed in range(SCHEDULES):
        schedule = Schedule(seed, third_hands)
        try:
            schedule.run()
            schedule.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        ends.add((schedule.verb, schedule.rig.state))
    states = (State.COMMITTED, State.ROLLED_BACK)
    assert {(verb, state) for verb in ("create", "set", "delete") for state in states} <= ends
