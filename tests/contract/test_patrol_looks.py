"""What a look of the patrol says of itself: nothing is without drift that was not asked."""

from __future__ import annotations

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import ProbeAnswer, Probed
from lockstep.worker.operation.content import Said
from lockstep.worker.operation.host import Backoff
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, Presence, Seen
from lockstep.worker.steps.apply import Parts
from lockstep.worker.steps.looks import PatrolResult, PatrolTimes, patrol
from lockstep.worker.tasks.tasks import _told
from tests.contract.bench import LIMITS, MemoryBench
from tests.contract.driver import ABSENT, GROUP, LONG, PRESENT, A, B, Driver
from tests.groups_alone import GroupsAlone

BEAT = PatrolTimes(every=1, longest=10, watched=LONG, repair=1000, budget=LONG, deadline=LONG)


class Host(GroupsAlone):
    """A host that shows what it is told to, or nothing."""

    fingerprint = "url-of-a"

    def __init__(self, shown: Seen | None) -> None:
        self.shown = shown

    def unwell(self, path: str) -> str | None:
        return None

    def probe(self, group: GroupId) -> ProbeAnswer:
        if self.shown is None:
            return ProbeAnswer(Probed.NO_INFORMATION, "connection refused")
        return ProbeAnswer(Probed.SEEN, "seen", self.shown)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> Said:
        raise AssertionError("a patrol writes nothing")


@pytest.fixture
def ended(memory: MemoryBench) -> Driver:
    driver = Driver(memory).accepted((A,)).apply(A).commit()
    memory.memory.suspected[GROUP, A, Presence.ABSENT] = memory.now()
    memory.memory.looks[GROUP] = memory.now()
    return driver


def looked(memory: MemoryBench, hosts: dict[HostName, Host]) -> PatrolResult:
    parts = Parts(memory.memory, hosts.get, SystemClock(), LIMITS, Backoff(1, 8), Backoff(1, 60), 60.0)
    return patrol(parts, memory.memory, GROUP, BEAT)


@pytest.mark.usefixtures("ended")
def test_there_is_no_drift_only_where_a_host_answered(memory: MemoryBench) -> None:
    assert _told(looked(memory, {A: Host(PRESENT)})) == "no drift on 1 hosts"
    assert _told(looked(memory, {A: Host(None)})) == "not known: none of 1 hosts answered"
    assert _told(looked(memory, {})).startswith("no host was asked")
    assert _told(looked(memory, {A: Host(ABSENT)})).startswith("drift on ")


@pytest.mark.usefixtures("ended")
def test_a_group_at_work_is_not_looked_at(memory: MemoryBench) -> None:
    Driver(memory, "two", action=Action.DELETE).accepted((A,))
    assert _told(looked(memory, {A: Host(None)})) == "no host was asked: an operation is at work"
    assert memory.memory.looks[GROUP] == memory.now() + BEAT.every, "but soon"
    assert B != A


@pytest.mark.usefixtures("ended")
def test_a_group_is_put_off_before_its_hosts_are_asked(memory: MemoryBench) -> None:
    """A worker that dies over a look must not have every other one begin the same look at once."""
    due: list[int] = []

    class Late(Host):
        def probe(self, group: GroupId) -> ProbeAnswer:
            due.append(memory.memory.looks[group])
            return super().probe(group)

    memory.pass_time(20)
    looked(memory, {A: Late(PRESENT)})
    assert due == [memory.now() + 5], "a quarter of how long it is suspected"


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(("beyond", "listed"), [(0, True), (1, False)])
def test_a_group_is_watched_for_as_long_as_it_says_to_the_millisecond(
    memory: MemoryBench, beyond: int, listed: bool
) -> None:
    memory.pass_time(BEAT.watched + beyond)
    looked(memory, {A: Host(PRESENT)})
    assert (GROUP in memory.memory.looks) is listed
