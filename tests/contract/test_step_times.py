"""Until when a step's write may leave, and how long it takes another try to need, to the millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, Presence, State
from lockstep.worker.operation.transitions import Forward, Progress
from lockstep.worker.steps.apply import ForwardTry, StepContext, forward
from lockstep.worker.steps.rollback import rollback
from tests.contract.bench import LIMITS, MemoryBench, context
from tests.contract.contents import Node
from tests.contract.driver import GROUP, A, Driver
from tests.contract.test_content_steps import B, Rig
from tests.contract.test_rollback_steps import Host
from tests.unit.kinds.made import record

WITHIN = LIMITS.send_within / 1000
NOW = 64.0


class StillClock(SystemClock):
    """Stands still until it is moved."""

    now = NOW

    def elapsed(self) -> float:
        return self.now


class TimedHost(Host):
    """Notes the guard of each write."""

    def __init__(self, *shown: Presence) -> None:
        super().__init__(*shown)
        self.guards: list[MaySend] = []

    def write(self, *asked: Any) -> WriteAnswer:
        self.guards.append(asked[3])
        return super().write(*asked)


class TimedNode(Node):
    """The same of a host with things."""

    def __init__(self, name: str, holds: dict[str, Any]) -> None:
        super().__init__(name, holds)
        self.guards: list[MaySend] = []

    def send(self, *asked: Any) -> WriteAnswer:
        self.guards.append(asked[5])
        return super().send(*asked)


def leaves_in_time(clock: StillClock, guards: Sequence[MaySend]) -> bool:
    """Tell whether each of these writes may leave for as long as its attempt says, and no longer."""
    found = []
    for clock.now in (NOW + WITHIN - 0.001, NOW + WITHIN):
        found += [may_send() for may_send in guards]
    return found == [True] * len(guards) + [False] * len(guards)


def still(memory: MemoryBench, host: Host, clock: StillClock | None = None) -> StepContext:
    return replace(context(memory, host), clock=clock or StillClock())


def test_a_write_to_a_group_may_leave_for_as_long_as_its_attempt_says(memory: MemoryBench) -> None:
    host, driver = TimedHost(Presence.ABSENT, Presence.PRESENT), Driver(memory).accepted((A,))
    forward(still(memory, host, clock := StillClock()), driver.id, GROUP, Action.CREATE, A, 1)
    assert len(host.guards) == 1
    assert leaves_in_time(clock, host.guards)


def test_a_write_that_undoes_may_leave_for_as_long_as_its_attempt_says(memory: MemoryBench) -> None:
    host, driver = TimedHost(Presence.PRESENT), Driver(memory).accepted((A,)).undoing(A)
    rollback(still(memory, host, clock := StillClock()), driver.id, A, 1)
    assert len(host.guards) == 1
    assert leaves_in_time(clock, host.guards)


def test_a_write_to_a_thing_may_leave_for_as_long_as_its_attempt_says() -> None:
    a, b = TimedNode("a", record("x")), TimedNode("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), values=["n"])
    rig.context = replace(rig.context, clock=(clock := StillClock()))
    assert rig.run().state is State.ROLLED_BACK
    assert (len(a.guards), len(b.guards)) == (2, 1)
    assert leaves_in_time(clock, a.guards + b.guards)


@pytest.mark.parametrize(
    ("retry_after", "needed"), [(None, 0), (0.0, 0), (2.5, 2500), (60.0, 60_000), (61.0, 60_000)]
)
def test_another_try_needs_what_this_one_took_and_what_its_host_asks_for(
    memory: MemoryBench, retry_after: float | None, needed: int
) -> None:
    driver = Driver(memory).accepted((A,))
    this = ForwardTry(still(memory, Host(Presence.ABSENT)), driver.id, A, 1, Action.CREATE, NOW - 1.5)
    assert this.needs(retry_after) == 1500 + 200 + needed


def test_the_last_try_comes_no_later_than_it_has_time_for(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted((A,))
    this = ForwardTry(still(memory, Host(Presence.ABSENT)), driver.id, A, 1, Action.CREATE, NOW - 1.5)
    assert this.came_to(Progress(Forward.OPEN, left=5000), 60.0).delay == pytest.approx(5 - 1.5 - 0.2)
