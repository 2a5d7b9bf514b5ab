"""The line for a place of a limit: who is called, who leaves it, and when others come by themselves."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import AttemptId, Outcome
from lockstep.worker.operation.transitions import Forward, Progress
from tests.contract.bench import LIMITS, PREFIX, Bench, RedisBench
from tests.contract.contents import TARGET, Thing
from tests.contract.driver import ABSENT, PRESENT, A, B, Driver
from tests.contract.test_limit import ONE, OVER, SHORT, begins, called, ends, several, undoes


def asks(driver: Driver, attempt: str = "at once") -> Progress:
    """Begin on A without a moment that passes before."""
    id_ = AttemptId(f"{driver.id} {attempt}")
    return driver.store.begin(driver.id, A, "url-of-a", ABSENT, id_, driver.action, driver.group)


def test_a_host_of_the_same_operation_is_called_at_once_too(bench: Bench) -> None:
    (one,) = several(bench, "one", hosts=(A, B), all=ONE)
    assert [begins(one, A), begins(one, B)] == [Forward.SEND, Forward.BUSY]
    ends(one, Effect.APPLIED, A)
    assert called(one) == {"one"}
    assert one.claim(resume=True) == (B,)
    assert begins(one, B) is Forward.SEND


def test_a_host_that_a_look_finds_as_asked_waits_no_more(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", hosts=(A, B), a=ONE)
    assert [begins(one), begins(two), begins(three)] == [Forward.SEND, Forward.BUSY, Forward.BUSY]
    assert two.begin(A, "looked", PRESENT).outcome is Outcome.UNCHANGED
    ends(one)
    assert called(one) == {"three"}


@pytest.mark.parametrize("given_up", [False, True])
def test_a_host_that_a_look_finds_restored_or_that_is_given_up_waits_no_more(
    bench: Bench, given_up: bool
) -> None:
    one, two, three = several(bench, "one", "two", "three", hosts=(A, B), a=ONE)
    begins(one, B)  # keeps the operation from its end
    begins(one)
    ends(one, Effect.NOT_APPLIED)
    assert [begins(two), begins(three)] == [Forward.SEND, Forward.BUSY]
    one.roll_back()
    assert undoes(one).next is Forward.BUSY
    if given_up:
        assert one.store.abandon(one.id, A, "ann: it is gone") is None
    else:
        assert one.look(A, ABSENT).restored
    assert not one.kept().ended
    ends(two)
    assert called(two) == {"three"}


def test_an_undo_of_a_thing_takes_it_as_well(bench: Bench) -> None:
    (one,) = several(bench, "group", over=SHORT, a=ONE)
    thing = Thing(bench).accepted().written(A).roll_back()
    begins(one)
    assert thing.restore(A, TARGET).next is Forward.BUSY
    bench.pass_time(OVER)
    assert thing.restore(A, TARGET, "u2").next is Forward.SEND


def test_what_is_left_of_places_is_dropped_two_days_after_the_last_was_taken(redis_bench: RedisBench) -> None:
    one, two = several(redis_bench, "one", "two", a=ONE)

    def left() -> bool:
        return 172_000_000 < redis_bench.client.pttl(f"{PREFIX}limit:a:places") <= 172_800_000

    begins(one)
    assert left(), "of a write"
    begins(two)
    ends(one)
    assert left(), "of one that was called"


def test_an_undo_takes_the_place_of_a_write_that_was_over_when_its_look_was_sent(bench: Bench) -> None:
    one, two = several(bench, "one", "two", hosts=(A, B), over=SHORT, a=ONE)
    begins(one)
    ends(one)
    one.roll_back()
    begins(two)
    looked = bench.now()
    bench.pass_time(OVER)
    late = one.store.begin_undo(one.id, A, "url-of-a", AttemptId("u1"), looked)
    assert late.next is Forward.BUSY
    assert undoes(one).next is Forward.SEND


@pytest.mark.parametrize("kept", ["0 0", "-1 -1", "- -", "some many", "1", ""])
def test_what_is_no_limit_holds_nobody(redis_bench: RedisBench, kept: str) -> None:
    one, two = several(redis_bench, "one", "two", a=ONE)
    redis_bench.client.hset(f"{PREFIX}limits", "a", kept)
    assert [begins(one), begins(two)] == [Forward.SEND] * 2


@pytest.mark.parametrize("lost", ["all of it", "its end"])
def test_who_has_no_record_any_more_holds_nobody_up(redis_bench: RedisBench, lost: str) -> None:
    one, two, three = several(redis_bench, "one", "two", "three", a=ONE)
    assert [begins(one), begins(two), begins(three)] == [Forward.SEND, Forward.BUSY, Forward.BUSY]
    if lost == "all of it":
        redis_bench.client.delete(f"{PREFIX}op:two")
    else:
        redis_bench.client.hset(f"{PREFIX}op:two", "ended", "1")
    ends(one)
    assert called(one) == {"three"}


@pytest.mark.parametrize("most", [1, 3])
def test_who_is_not_the_first_looks_by_itself_when_all_before_it_may_be_through(
    still: Bench, most: int
) -> None:
    names = [f"op{number}" for number in range(8)]
    drivers = several(still, *names, over=SHORT, a=WriteLimit(most))
    longest = LIMITS.send_within + LIMITS.call + SHORT
    began = still.now()
    for each in drivers:
        asks(each)
    places = max(1, most - 1)
    due = [each.step(A).due_at for each in drivers[places:]]
    turns = [1, *(-(-number // most) for number in range(2, len(due) + 1))]
    assert due == [began + longest * turn for turn in turns]


@pytest.mark.parametrize(("ahead", "left"), [(249, 249), (251, 251), (252, 250), (500_000, 250)])
def test_a_moment_that_a_clock_that_went_back_has_left_far_ahead_is_drawn_near(
    still_redis: RedisBench, ahead: int, left: int
) -> None:
    (one,) = several(still_redis, "one", a=WriteLimit(None, 4))
    still_redis.client.set(f"{PREFIX}limit:a:next", still_redis.now() + ahead)
    assert asks(one).left == left
    still_redis.pass_time(left)
    assert asks(one).next is Forward.SEND


def test_whoever_comes_at_the_very_moment_that_it_was_told_may_write(still: Bench) -> None:
    one, two = several(still, "one", "two", a=WriteLimit(None, 4))
    assert asks(one).next is Forward.SEND
    told = asks(two)
    assert (told.next, told.left) == (Forward.BUSY, 250)
    still.pass_time(249)
    assert asks(two).left == 1
    still.pass_time(1)
    assert asks(two).next is Forward.SEND
