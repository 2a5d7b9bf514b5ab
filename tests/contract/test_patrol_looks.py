"""What a look of the patrol says of itself: nothing is without drift that was not asked."""

from __future__ import annotations

import itertools

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import Backoff, MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, Presence, Seen
from lockstep.worker.operation.transitions import Accepted
from lockstep.worker.steps.apply import StepContext
from lockstep.worker.steps.looks import PatrolResult, PatrolTimes, patrol
from lockstep.worker.tasks.tasks import _told
from tests.contract.bench import LIMITS, MemoryBench
from tests.contract.driver import ABSENT, GROUP, LONG, PRESENT, A, B, Driver
from tests.groups_alone import GroupsAlone

BEAT = PatrolTimes(every=1, longest=10, watched=LONG, repair=1000, budget=LONG, deadline=LONG)


class Host(GroupsAlone):
    """A host that shows what it is told to, or nothing."""

    def __init__(self, shown: Seen | None, fingerprint: str = "url-of-a") -> None:
        self.shown = shown
        self.fingerprint = fingerprint

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        if self.shown is None:
            return LookAnswer(LookVerdict.NO_INFORMATION, "connection refused")
        return LookAnswer(LookVerdict.SEEN, "seen", self.shown)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        raise AssertionError("a patrol writes nothing")


class Ticking(SystemClock):
    """A clock that goes on by so many seconds whenever it is looked at."""

    def __init__(self, seconds: float) -> None:
        self._ticks = itertools.count()
        self._seconds = seconds

    def elapsed(self) -> float:
        return self._seconds * next(self._ticks)


@pytest.fixture
def ended(memory: MemoryBench) -> Driver:
    driver = Driver(memory).accepted((A,)).apply(A).commit()
    memory.memory.suspected[GROUP, A, Presence.ABSENT] = memory.now()
    memory.memory.looks[GROUP] = memory.now()
    return driver


def looked(
    memory: MemoryBench,
    hosts: dict[HostName, Host],
    clock: SystemClock | None = None,
    group: GroupId = GROUP,
) -> PatrolResult:
    context = StepContext(
        memory.memory,
        hosts.get,
        clock or SystemClock(),
        LIMITS,
        Backoff(1, 8),
        Backoff(1, 60),
        60.0,
        hosts.get,
    )
    return patrol(context, group, BEAT)


@pytest.mark.usefixtures("ended")
def test_there_is_no_drift_only_where_a_host_answered(memory: MemoryBench) -> None:
    assert _told(looked(memory, {A: Host(PRESENT)})) == "no drift on 1 hosts"
    assert _told(looked(memory, {A: Host(None)})) == "not known: none of 1 hosts answered"
    assert _told(looked(memory, {})).startswith("no host was asked")
    assert _told(looked(memory, {A: Host(ABSENT)})).startswith("drift on ")


def test_hosts_that_were_not_asked_are_counted(memory: MemoryBench, caplog: pytest.LogCaptureFixture) -> None:
    every = tuple(HostName(f"node{number}") for number in range(5))
    driver = Driver(memory).accepted(every)
    for host in every:
        driver.apply(host)
    driver.commit()
    memory.memory.suspected[GROUP, every[0], Presence.ABSENT] = memory.now()
    memory.memory.looks[GROUP] = memory.now()

    def told(shown: Seen | None, known: int, ticks: float) -> str:
        hosts = {name: Host(shown, f"url-of-{name}") for name in every[:known]}
        return _told(looked(memory, hosts, Ticking(ticks)))

    assert told(PRESENT, 3, 0) == "no drift on 3 hosts, 2 not known to this worker"
    assert not caplog.messages
    assert told(PRESENT, 5, 0.6 * LONG / 1000) == "no drift on 1 hosts, 4 not asked, for the time was over"
    assert caplog.messages == ["the patrol asked 1 hosts of a group, and had no time for 4"]
    assert told(None, 5, 0.6 * LONG / 1000) == (
        "not known: none of 1 hosts answered, 4 not asked, for the time was over"
    )
    for share, asked in ((0.5, 2), (0.5003, 1)):
        late = f"no drift on {asked} hosts, {5 - asked} not asked, for the time was over"
        assert told(PRESENT, 5, share * LONG / 1000) == late
    assert told(ABSENT, 1, 0) == "drift on node0, 4 not known to this worker; 1 repairs begun"


@pytest.mark.usefixtures("ended")
def test_a_group_at_work_is_not_looked_at(memory: MemoryBench) -> None:
    Driver(memory, "two", action=Action.DELETE).accepted((A,))
    came = looked(memory, {A: Host(None)})
    assert _told(came) == "no host was asked: an operation is at work"
    assert (came.asked, came.answered, came.strange, came.late) == (0, 0, 0, 0)
    assert memory.memory.looks[GROUP] == memory.now() + BEAT.every, "but soon"
    assert B != A


@pytest.mark.usefixtures("ended")
def test_a_group_is_put_off_before_its_hosts_are_asked(memory: MemoryBench) -> None:
    """A worker that dies over a look must not have every other one begin the same look at once."""
    due: list[int] = []

    class Late(Host):
        def look_at_group(self, group: GroupId) -> LookAnswer:
            due.append(memory.memory.looks[group])
            return super().look_at_group(group)

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


def test_hosts_that_this_worker_does_not_know_keep_none_from_being_looked_at(memory: MemoryBench) -> None:
    Driver(memory).accepted((A, B)).apply(A, B).commit()
    memory.memory.suspected[GROUP, A, Presence.ABSENT] = memory.now()
    b = Host(PRESENT, "url-of-b")
    for hosts, asked in (({B: b}, 1), ({A: b, B: b}, 1), ({A: Host(None), B: b}, 2)):
        result = looked(memory, hosts)
        assert (result.asked, result.answered) == (asked, 1)


@pytest.mark.usefixtures("ended")
def test_what_was_seen_while_an_operation_came_in_counts_for_nothing(memory: MemoryBench) -> None:
    class Meanwhile(Host):
        def look_at_group(self, group: GroupId) -> LookAnswer:
            Driver(memory, "two", action=Action.DELETE).accepted((A,))
            return super().look_at_group(group)

    memory.pass_time(20)
    assert _told(looked(memory, {A: Meanwhile(ABSENT)})).startswith("nothing is known")
    assert memory.memory.looks[GROUP] == memory.now() + BEAT.every, "and it is looked at again soon"


@pytest.mark.usefixtures("ended")
def test_nothing_but_its_own_drift_keeps_a_group_watched(memory: MemoryBench) -> None:
    other = Driver(memory, "two")
    assert other.store.accept(other.request((A,), GroupId("other"))) is Accepted.ACCEPTED
    other.apply(A).commit()
    looked(memory, {A: Host(ABSENT)})
    memory.pass_time(BEAT.watched + 1)
    looked(memory, {A: Host(None)})
    assert GROUP in memory.memory.looks, "it shows what it must not, as far as anybody knows"
    memory.memory.looks[other.group] = memory.now()
    looked(memory, {}, group=other.group)
    assert other.group not in memory.memory.looks


@pytest.mark.usefixtures("ended")
def test_drift_that_a_write_of_ours_explains_is_mended_by_its_remedy_alone(memory: MemoryBench) -> None:
    (repair,) = looked(memory, {A: Host(ABSENT)}).repairs
    assert (repair.action, [ref.name for ref in repair.hosts]) == (Action.CREATE, [A])


@pytest.mark.usefixtures("ended")
def test_what_is_as_it_should_be_or_drifted_by_itself_is_not_mended(memory: MemoryBench) -> None:
    assert looked(memory, {A: Host(PRESENT)}).repairs == ()
    memory.pass_time(BEAT.repair + 1)
    late = looked(memory, {A: Host(ABSENT)})
    assert (len(late.drifts), late.repairs) == (1, ())
