"""A step that does not get its turn runs again, and nothing is counted."""

from __future__ import annotations

import pytest

from tests.contract.bench import LIMITS, MemoryBench
from tests.contract.driver import ABSENT, GROUP, LONG, A, Driver
from worker.clock import SystemClock
from worker.operation.answer import ProbeAnswer, Probed, WriteAnswer, Wrote
from worker.operation.backoff import Backoff
from worker.operation.model import Action, AttemptId, AttemptState, GroupId, HostName, Presence, Undo
from worker.operation.ports import Crowded
from worker.steps import Beat, Next, Parts, forward, patrol, rollback, settle


class Host:
    """A host whose looks get no turn from the given one on."""

    fingerprint = "url-of-a"

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def probe(self, group: GroupId) -> ProbeAnswer:
        self.looks -= 1
        if self.looks < 0:
            raise Crowded("full")
        return ProbeAnswer(Probed.SEEN, "404", ABSENT)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Wrote.CONTESTED, "400")


@pytest.fixture
def create(memory: MemoryBench) -> Driver:
    return Driver(memory).accepted((A,))


def parts(memory: MemoryBench, looks: int = 0) -> Parts:
    host = Host(looks)

    def find(_: HostName) -> Host:
        return host

    return Parts(memory.memory, find, SystemClock(), LIMITS, Backoff(1, 8), Backoff(1, 60), 60.0)


def test_forward_counts_no_miss(create: Driver, memory: MemoryBench) -> None:
    for tries in range(2 * LIMITS.max_misses):
        result = forward(parts(memory), create.id, GROUP, Action.CREATE, A, tries)
        assert (result.next, result.text) == (Next.AGAIN, "waits for its turn")
        assert 0 <= result.delay <= 1
    assert create.step(A).misses == 0
    assert create.step(A).outcome is None


def test_a_contested_write_is_closed_all_the_same(create: Driver, memory: MemoryBench) -> None:
    assert forward(parts(memory, looks=1), create.id, GROUP, Action.CREATE, A, 1).next is Next.AGAIN
    (attempt,) = create.step(A).attempts
    assert attempt.state is AttemptState.NOT_APPLIED


def test_rollback_and_settling_count_no_failure(create: Driver, memory: MemoryBench) -> None:
    create.begin(A, "a1")
    create.roll_back()
    assert rollback(parts(memory), create.id, A, 1).next is Next.AGAIN
    assert settle(parts(memory), create.id, A, 1).next is Next.AGAIN
    assert (create.step(A).undo_misses, create.step(A).undo) == (0, Undo.NEEDED)


def test_the_patrol_looks_another_time(create: Driver, memory: MemoryBench) -> None:
    create.apply(A).commit()
    memory.memory.suspected[GROUP, A, Presence.ABSENT] = memory.now()
    memory.memory.looks[GROUP] = memory.now()
    beat = Beat(every=1, longest=10, watched=1000, repair=1000, budget=1000, deadline=LONG)
    assert patrol(parts(memory), memory.memory, GROUP, beat).drifts == ()
    assert patrol(parts(memory, looks=1), memory.memory, GROUP, beat).drifts != ()
