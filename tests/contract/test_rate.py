"""A limit that all workers share, of so many writes a second: each that waits is told its own moment."""

from __future__ import annotations

from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import AttemptId, Millis
from lockstep.worker.operation.transitions import Forward
from tests.contract.bench import LIMITS, Bench, MemoryBench
from tests.contract.driver import ABSENT, A
from tests.contract.test_limit import begins, ends, several, undoes


def test_writes_over_a_rate_each_wait_for_a_moment_of_their_own(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=WriteLimit(None, 0.01))
    assert begins(one) is Forward.SEND
    told = []
    for each in (two, three):
        bench.pass_time(1)
        id_ = AttemptId(f"{each.id}-a-1")
        said = each.store.begin(each.id, A, "url-of-a", ABSENT, id_, each.action, each.group)
        assert said.next is Forward.BUSY
        told.append(said.left)
    assert 0 < told[0] <= 100_000 < told[1] <= 200_000
    assert two.step(A).reason == "waits for one of 0.01 writes a second at a, number 1 in line"


def test_an_undo_takes_the_next_moment_of_a_rate(bench: Bench) -> None:
    one, two = several(bench, "one", "two", a=WriteLimit(None, 0.01))
    begins(one)
    assert begins(two) is Forward.BUSY
    one.roll_back()
    left = undoes(one)
    assert left.next is Forward.BUSY
    assert left.reason is not None
    assert 0 < left.left <= 100_000, "not behind two"
    assert left.reason.endswith("at a, number 1 in line")


def test_at_its_moment_each_may_write_and_the_first_goes_first(still: Bench) -> None:
    one, two, three = several(still, "one", "two", "three", a=WriteLimit(None, 4))
    assert [begins(one), begins(two), begins(three)] == [Forward.SEND, Forward.BUSY, Forward.BUSY]
    still.pass_time(250)
    assert [begins(three), begins(two), begins(three)] == [Forward.BUSY, Forward.SEND, Forward.BUSY]
    still.pass_time(250)
    assert begins(three) is Forward.SEND


def test_a_clock_that_goes_back_holds_nobody_up_for_long(memory: MemoryBench) -> None:
    one, two = several(memory, "one", "two", a=WriteLimit(None, 4))
    begins(one)
    memory.time = Millis(memory.time - 500_000)
    assert begins(two) is Forward.BUSY
    memory.pass_time(260)
    assert begins(two) is Forward.SEND


def test_a_place_is_kept_for_whoever_waits_for_its_moment(still: Bench) -> None:
    one, two, three = several(still, "one", "two", "three", a=WriteLimit(1, 0.1))
    assert begins(one) is Forward.SEND
    ends(one)
    assert [begins(two), begins(three)] == [Forward.BUSY, Forward.BUSY]
    still.pass_time(LIMITS.sweep_patience + 5_000)
    assert begins(three) is Forward.BUSY, "the time that two had to wait is not taken from it"
    still.pass_time(5_000)
    assert begins(three) is Forward.SEND
