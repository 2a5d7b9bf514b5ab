"""A limit that all workers share: places, the line for them, and a rate."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import AttemptId, GroupId, HostName
from lockstep.worker.operation.transitions import Accepted, Forward, Progress
from tests.contract.bench import LIMITS, UNIT, Bench
from tests.contract.driver import ABSENT, A, B, Driver

ONE, TWO = WriteLimit(1), WriteLimit(2)
SHORT = min(500 * UNIT, 5_000)
OVER = SHORT + LIMITS.send_within + LIMITS.call + 10
"""Milliseconds in which a host is through with a write, and after which one of unknown fate has no place."""


def several(
    bench: Bench, *names: str, hosts: tuple[HostName, ...] = (A,), over: int = 600_000, **limits: WriteLimit
) -> list[Driver]:
    """Operations on groups of their own, under a limit; a write has its place for `over` ms at the most."""
    bench.limit(**limits)
    found = [Driver(bench, name) for name in names]
    store = bench.limited(settle=over)
    for each in found:
        each.store = store
        assert each.store.accept(each.request(hosts, GroupId(f"g-{each.id}"))) is Accepted.ACCEPTED
    return found


def begins(driver: Driver, host: HostName = A, number: int = 1, age: int = 0) -> Forward:
    id_ = AttemptId(f"{driver.id}-{host}-{number}")
    driver.bench.pass_time(1)
    return driver.store.begin(
        driver.id, host, f"url-of-{host}", ABSENT, id_, driver.action, driver.group, age
    ).next


def ends(driver: Driver, verdict: Effect = Effect.APPLIED, host: HostName = A, number: int = 1) -> None:
    driver.store.finish(driver.id, host, AttemptId(f"{driver.id}-{host}-{number}"), verdict, "said")


def undoes(driver: Driver, number: int = 1) -> Progress:
    """Begin the inverse on A, after a look that was sent just now."""
    id_ = AttemptId(f"{driver.id}-undo-{number}")
    return driver.store.begin_undo(driver.id, A, "url-of-a", id_, driver.bench.now())


def called(driver: Driver) -> set[str]:
    return set(driver.store.called())


def test_without_a_limit_nothing_of_it_is_kept(bench: Bench) -> None:
    (one,) = several(bench, "one", b=ONE)
    assert begins(one) is Forward.SEND
    ends(one)
    assert not [name for name in bench.key_names() if "limit:" in name]


def test_a_second_write_waits_and_is_called_when_the_first_is_answered(bench: Bench) -> None:
    one, two = several(bench, "one", "two", a=ONE)
    assert begins(one) is Forward.SEND
    assert begins(two) is Forward.BUSY
    assert two.step(A).due_at is not None
    assert two.step(A).reason == "waits for one of 1 writes at a, number 1 in line"
    assert called(one) == set()
    ends(one)
    assert called(one) == {"two"}
    assert two.due()
    assert two.claim(resume=True) == (A,)
    assert two.step(A).reason == "waits for one of 1 writes at a, and is called"
    assert begins(two) is Forward.SEND
    ends(two)
    assert two.kept().ended
    assert two.step(A).reason is None


def test_a_repeated_begin_takes_no_second_place(bench: Bench) -> None:
    one, two = several(bench, "one", "two", a=WriteLimit(3))
    assert [begins(one), begins(one), begins(two)] == [Forward.SEND] * 3


def test_whoever_asked_first_goes_first(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=ONE)
    begins(one)
    assert begins(three) is Forward.BUSY
    assert begins(two) is Forward.BUSY
    ends(one)
    assert begins(two) is Forward.BUSY, "the place is kept for the other"
    assert begins(three) is Forward.SEND
    ends(three)
    assert begins(two) is Forward.SEND


def test_a_write_of_unknown_fate_keeps_its_place_until_the_host_is_through(bench: Bench) -> None:
    one, two = several(bench, "one", "two", over=SHORT, a=ONE)
    begins(one)
    ends(one, Effect.UNKNOWN)
    assert begins(two) is Forward.BUSY
    bench.pass_time(OVER)
    assert begins(two, age=1000 * UNIT) is Forward.BUSY, "its look was sent before"
    assert begins(two) is Forward.SEND


def test_a_write_of_which_a_person_gives_up_keeps_its_place_as_well(bench: Bench) -> None:
    one, two = several(bench, "one", "two", over=SHORT, a=ONE)
    begins(one)
    one.roll_back()
    assert one.store.abandon(one.id, A, "ann: it will be rebuilt") is None
    assert one.kept().ended
    assert begins(two) is Forward.BUSY
    bench.pass_time(OVER)
    assert begins(two) is Forward.SEND


def test_the_place_of_a_dead_worker_is_over_and_the_first_in_line_wakes_by_itself(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", over=SHORT, a=ONE)
    begins(one)
    begins(two)
    begins(three)
    bench.pass_time(OVER)
    assert two.due()
    assert not three.due()
    assert two.claim(resume=True) == (A,)
    assert begins(two) is Forward.SEND


def test_the_next_in_line_wakes_by_itself_once_the_first_has_gone(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", over=SHORT, a=ONE)
    begins(one)
    begins(two)
    begins(three)
    two.roll_back()
    bench.pass_time(OVER)
    assert three.due()
    assert begins(three) is Forward.SEND


def test_one_of_several_places_is_for_undo_alone(bench: Bench) -> None:
    one, two = several(bench, "one", "two", a=TWO)
    begins(one)
    ends(one, Effect.UNKNOWN)
    one.roll_back()
    assert begins(two) is Forward.BUSY
    assert undoes(one).next is Forward.SEND


def test_undo_goes_before_forward_work_even_before_what_was_called(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=ONE)
    begins(one)
    begins(two)
    begins(three)
    one.roll_back()
    ends(one)
    assert called(one) == {"two"}
    assert undoes(one).next is Forward.SEND, "it takes the place that was kept for two"
    assert begins(two) is Forward.BUSY
    one.finish_undo(A, "one-undo-1", Effect.APPLIED)
    assert one.kept().ended
    assert begins(two) is Forward.SEND


def test_an_undo_that_waits_is_the_first_that_is_called(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=ONE)
    begins(one)
    ends(one)
    begins(two)
    begins(three)
    four = Driver(bench, "four")
    four.store = one.store
    four.store.accept(four.request((A, B), GroupId("g-four")))
    begins(four, B)
    ends(four, Effect.APPLIED, B)
    assert begins(four) is Forward.BUSY
    four.roll_back()
    assert four.step(A).due_at is None
    two.roll_back()
    waits = undoes(two)
    assert (waits.left, waits.reason) == (0, "waits for one of 1 writes at a, number 1 in line")
    ends(two)
    assert called(two) == {"two"}
    assert undoes(two).next is Forward.SEND


def test_who_is_called_and_does_not_come_loses_its_turn_and_not_its_rank(still: Bench) -> None:
    one, two, three = several(still, "one", "two", "three", over=SHORT, a=ONE)
    begins(one)
    begins(two)
    still.pass_time(2)
    begins(three)
    ends(one)
    still.pass_time(60_000)
    assert three.due()
    assert begins(two) is Forward.SEND, "it asked before"
    assert begins(three) is Forward.BUSY


def test_a_cancelled_operation_leaves_the_line_and_gives_up_the_place_it_was_called_for(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=ONE)
    begins(one)
    begins(two)
    begins(three)
    ends(one)
    assert called(one) == {"two"}
    two.roll_back()
    assert called(one) == {"three"}
    assert begins(three) is Forward.SEND


def test_a_wait_costs_no_miss_and_no_try(bench: Bench) -> None:
    one, two = several(bench, "one", "two", a=ONE)
    two.retries = 0
    begins(one)
    for number in range(3):
        assert begins(two, number=number) is Forward.BUSY
    assert two.step(A).misses == two.step(A).undo_misses == two.step(A).writes == 0
    ends(one)
    assert begins(two, number=4) is Forward.SEND


def test_a_limit_for_all_hosts_together(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", hosts=(A, B), a=ONE, all=WriteLimit(3, 1000))
    assert [begins(one, A), begins(two, B)] == [Forward.SEND] * 2
    assert begins(three, B) is Forward.BUSY
    assert three.step(B).reason == "waits for one of 3 writes at all hosts together, number 1 in line"
    ends(one, Effect.APPLIED, A)
    assert called(one) == {"three"}
    assert begins(three, B) is Forward.SEND


def test_a_limit_that_is_taken_away_holds_nobody(bench: Bench) -> None:
    one, two, three = several(bench, "one", "two", "three", a=ONE)
    begins(one)
    begins(two)
    begins(three)
    bench.limit()
    ends(one)
    assert called(one) == {"two", "three"}
    assert [begins(two), begins(three)] == [Forward.SEND] * 2


@pytest.mark.parametrize("most", [1, 3])
def test_many_end_in_the_order_of_asking_each_called_once(bench: Bench, most: int) -> None:
    names = [f"op{number:02}" for number in range(12)]
    drivers = {each.id: each for each in several(bench, *names, a=WriteLimit(most))}
    store = next(iter(drivers.values())).store
    at_work = [each for each in drivers.values() if begins(each) is Forward.SEND]
    assert len(at_work) == max(1, most - 1)
    done = 0
    while at_work:
        ends(at_work.pop(0))
        done += 1
        for operation in store.called():
            assert drivers[operation].claim(resume=True) == (A,)
            assert begins(drivers[operation]) is Forward.SEND
            at_work.append(drivers[operation])
    assert done == 12
    assert all(each.kept().ended for each in drivers.values())
    left = [name for name in bench.key_names() if "limit:" in name or "queued" in name]
    assert left == []
