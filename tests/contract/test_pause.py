"""A paused host keeps new operations away; those that were accepted before go on."""

from __future__ import annotations

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.errors import HostPaused, OperationIdReused
from lockstep.worker.operation.host import Backoff, MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, Presence, State
from lockstep.worker.operation.transitions import Accepted, Busy
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Pauses
from lockstep.worker.steps.apply import StepContext
from lockstep.worker.steps.looks import PatrolTimes, patrol
from tests.contract.bench import LIMITS, PREFIX, Bench, MemoryBench, RedisBench
from tests.contract.driver import ABSENT, GROUP, LONG, A, B, Driver
from tests.groups_alone import GroupsAlone

C = HostName("c")


def test_an_operation_that_needs_a_paused_host_is_refused_and_nothing_is_stored(bench: Bench) -> None:
    bench.pause(B, "alice", "disk swap")
    create = Driver(bench)
    with pytest.raises(
        HostPaused,
        match=r'^host "b" is paused by alice since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+: disk swap; '
        r"nothing was written, `lockstep resume b` ends the pause$",
    ):
        create.accept()
    assert bench.key_names() == {"paused"}
    assert create.store.operation(create.id) is None


def test_the_first_of_several_is_named_and_the_others_are_counted(bench: Bench) -> None:
    for host in (C, B, A, HostName("d")):
        bench.pause(host, "alice", f"why {host}")
    with pytest.raises(HostPaused, match=r'^host "b" is paused .*: why b; 2 more of its hosts are paused; '):
        Driver(bench).accept(hosts=(B, A, C))


def test_other_hosts_are_free(bench: Bench) -> None:
    bench.pause(C, "alice", "disk swap")
    assert Driver(bench).accept() is Accepted.ACCEPTED


def test_an_operation_is_accepted_once_the_pause_has_ended(bench: Bench) -> None:
    bench.pause(A, "alice", "disk swap")
    bench.resume(A)
    assert Driver(bench).accept() is Accepted.ACCEPTED


def test_an_accepted_operation_goes_on_and_is_still_the_same(create: Driver) -> None:
    create.bench.pause(A, "alice", "disk swap")
    assert create.accept() is Accepted.EXISTING
    with pytest.raises(OperationIdReused):
        create.accept(hosts=(A,))
    create.apply(A, B).commit()
    assert create.kept().state is State.COMMITTED


def test_a_rollback_is_not_held_up(create: Driver) -> None:
    create.apply(A)
    create.bench.pause(A, "alice", "disk swap")
    create.roll_back().undo(A)
    assert create.kept().state is State.ROLLED_BACK


def test_nobody_waits_for_a_busy_group_only_to_be_refused(create: Driver) -> None:
    second = Driver(create.bench, "two")
    assert second.accept() == Busy(create.id)
    create.bench.pause(A, "alice", "disk swap")
    with pytest.raises(HostPaused):
        second.accept()


def test_no_pause_is_forgotten_with_old_records(create: Driver) -> None:
    create.apply(A, B).commit()
    create.bench.pause(A, "alice", "disk swap")
    assert create.store.forget(0, 0, 10) == 1
    with pytest.raises(HostPaused):
        Driver(create.bench, "two", Action.DELETE).store.accept(
            Driver(create.bench, "two").request(group=GroupId("h"))
        )
    assert create.store.ends(GROUP)


def test_a_second_pause_leaves_the_first_as_it_is(redis_bench: RedisBench) -> None:
    pauses = Pauses(redis_bench.client, Keys(PREFIX))
    before = redis_bench.now()
    assert pauses.pause(A, "alice", "disk swap") is None
    held = pauses.pause(A, "bob", "because")
    assert held is not None
    assert (held.host, held.by, held.why) == (A, "alice", "disk swap")
    assert before <= held.at <= redis_bench.now()
    assert pauses.all() == {A: held}
    assert pauses.resume(A) == held
    assert pauses.resume(A) is None
    assert pauses.all() == {}


def test_a_repair_waits_for_the_end_of_a_pause(memory: MemoryBench) -> None:
    create = Driver(memory).accepted((A,))
    create.apply(A).commit()
    store = memory.memory
    store.suspected[GROUP, A, Presence.ABSENT] = memory.now()
    store.looks[GROUP] = memory.now()
    host = HoldingNothing()
    clock = SystemClock()
    context = StepContext(
        store, lambda _: host, clock, LIMITS, Backoff(1, 8), Backoff(1, 60), 60.0, lambda _: host
    )
    beat = PatrolTimes(every=1, longest=10, watched=1000, repair=1000, budget=1000, deadline=LONG)
    memory.pause(A, "alice", "disk swap")

    assert patrol(context, GROUP, beat).repairs == ()
    memory.resume(A)
    (repair,) = patrol(context, GROUP, beat).repairs
    assert [host.name for host in repair.hosts] == [A]


class HoldingNothing(GroupsAlone):
    """A host that has lost the group."""

    fingerprint = "url-of-a"

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.SEEN, "404", ABSENT)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        raise AssertionError("the patrol writes nothing itself")
