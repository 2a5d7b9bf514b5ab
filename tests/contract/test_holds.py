"""What keeps an operation with waves from going on: a hold, the gate, a paused host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.model import Decision, Outcome, Stage, State
from lockstep.worker.operation.transitions import Claim, Forward, HoldAnswer, Phase, Refusal
from lockstep.worker.operation.waves import HOLD_MOST, GateVerdict, Health
from lockstep.worker.record.codec import moments_from
from lockstep.worker.record.keys import Keys
from tests.contract.bench import PREFIX, Bench, RedisBench
from tests.contract.driver import GROUP, A, B, C, Driver
from tests.contract.waves import CAREFUL, DEADLINE, THREE, TWO, accepted, gate, rollout


def test_a_hold_lets_the_wave_at_work_end_and_no_other_begin(canary: Driver) -> None:
    held = canary.store.hold(canary.id, "ann", "look at a first")
    assert held == HoldAnswer(1, 1, Stage.WORKING)
    canary.apply(A)
    assert rollout(canary).stage is Stage.WAITING
    assert canary.begin(B, "b1").next is Forward.NOT_OPEN
    assert not canary.due()
    hold = rollout(canary).hold
    assert hold is not None
    assert (hold.number, hold.who, hold.why) == (1, "ann", "look at a first")
    assert canary.store.promote(canary.id, 1) is None
    assert rollout(canary).wave == 2
    assert rollout(canary).hold is None
    assert canary.claim() == (B,)


def test_a_hold_in_the_last_wave_binds_the_commit(canary: Driver) -> None:
    canary.apply(A)
    canary.store.hold(canary.id, "ann", "wait")
    canary.apply(B)
    assert canary.kept().decision is None
    assert canary.store.promote(canary.id, 1) is None
    assert canary.kept().state is State.COMMITTED


def test_a_promote_releases_the_hold_that_was_seen_and_no_other(canary: Driver) -> None:
    canary.store.hold(canary.id, "ann", "first")
    assert canary.store.promote(canary.id, 1) is None
    assert canary.store.promote(canary.id, 1) is Refusal.ALREADY
    canary.store.hold(canary.id, "bob", "second")
    assert canary.store.promote(canary.id, 1) is Refusal.ALREADY, "it comes late, or again"
    canary.apply(A)
    assert rollout(canary).wave == 1
    canary.store.hold(canary.id, "eve", "third")
    assert canary.store.promote(canary.id, 2) is Refusal.OTHER
    assert canary.store.promote(canary.id, 3, "bob: a is well") is None
    assert rollout(canary).wave == 2
    course = {(each.what, each.number): each.said for each in rollout(canary).moments}
    assert course["held", 3] == "eve: third"
    assert (course["released", 1], course["released", 3]) == ("", "bob: a is well"), "the first gave no name"


def test_two_holds_of_one_moment_are_told_in_their_order() -> None:
    kept = {"at:held:2": "1000 bob: too", "at:held:1": "1000 ann: first", "at:wave:1": "999 "}
    assert [(each.what, each.number) for each in moments_from(kept)] == [
        ("wave", 1),
        ("held", 1),
        ("held", 2),
    ]


def test_a_hold_that_is_released_in_its_millisecond_is_told_before_its_release() -> None:
    names = ("wave:3", "held:3", "released:2", "held:2", "held:1", "passed:1")
    course = moments_from({f"at:{name}": "1000 " for name in names})
    assert [f"{each.what}:{each.number}" for each in course] == [
        *("passed:1", "held:1", "held:2", "released:2"),
        *("wave:3", "held:3"),
    ]


def test_hold_and_promote_say_why_they_do_nothing(canary: Driver) -> None:
    assert canary.store.promote(canary.id, 1) is Refusal.FREE
    canary.roll_back()
    assert canary.store.hold(canary.id, "ann", "why") is Refusal.ROLLING_BACK
    assert canary.store.promote(canary.id, 1) is Refusal.ROLLING_BACK
    gone = Driver(canary.bench, "gone")
    assert gone.store.hold(gone.id, "ann", "why") is Refusal.UNKNOWN
    assert gone.store.promote(gone.id, 1) is Refusal.UNKNOWN


def test_an_operation_without_waves_cannot_be_held(create: Driver) -> None:
    assert create.store.hold(create.id, "ann", "why") is Refusal.NO_WAVES
    assert create.store.promote(create.id, 1) is Refusal.FREE


def test_a_hold_ends_in_a_rollback_if_nobody_promotes(still: Bench) -> None:
    driver = accepted(still, TWO).apply()
    driver.store.hold(driver.id, "ann", "why")
    driver.apply(A)
    still.pass_time(HOLD_MOST - 1)
    assert not driver.due(), "a day of waiting costs nothing"
    still.pass_time(1)
    assert driver.due()
    assert driver.claim(resume=True) == (A,)
    assert driver.kept().reason == "it was held for too long"


@pytest.mark.parametrize("waits", [60_000, HOLD_MOST])
def test_redis_keeps_it_off_the_sweep_until_the_bake_or_the_hold_is_over(
    redis_bench: RedisBench, waits: int
) -> None:
    bake = waits if waits < HOLD_MOST else 0
    driver, before = accepted(redis_bench, replace(TWO, bake=bake)), redis_bench.now()
    if not bake:
        driver.store.hold(driver.id, "ann", "why")
    driver.apply(A)
    assert driver.begin(B, "b1").next is Forward.NOT_OPEN
    assert driver.store.claim(driver.id, resume=True) == Claim(Phase.WAIT, GROUP, driver.action)
    again = float(str(redis_bench.client.zscore(Keys(PREFIX).due, driver.id)))
    assert again >= before + waits, "no deadline and no patience ends it"


def test_each_wave_but_the_last_is_held_where_that_was_asked(bench: Bench) -> None:
    driver = accepted(bench, replace(THREE, hold=True)).apply(A)
    assert rollout(driver).stage is Stage.WAITING
    driver.store.promote(driver.id, 1)
    driver.apply(B)
    assert rollout(driver).stage is Stage.WAITING
    driver.store.promote(driver.id, 2)
    driver.apply(C)
    assert driver.kept().state is State.COMMITTED


def test_every_host_of_open_waves_passes_the_gate_before_the_next_opens(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    assert rollout(driver).stage is Stage.GATING
    assert driver.store.claim(driver.id) == Claim(Phase.GATE, GROUP, driver.action, (A,), 1)
    assert driver.store.view(driver.id, A).gating == 1
    assert driver.begin(B, "b1").next is Forward.NOT_OPEN
    assert gate(driver, A, "look") is GateVerdict.PASSED
    assert gate(driver, A, "again", Health.CHANGED) is GateVerdict.IGNORED, "it has passed"
    assert driver.store.view(driver.id, A).gating is None
    driver.apply(B)
    assert driver.store.claim(driver.id) == Claim(Phase.GATE, GROUP, driver.action, (A, B), 2), "a again"
    gate(driver, A, "a")
    assert driver.store.view(driver.id, A).gating is None
    assert driver.store.view(driver.id, B).gating == 2
    assert driver.kept().decision is None
    gate(driver, B, "b")
    assert driver.kept().state is State.COMMITTED


def test_a_wait_that_the_gate_has_left_wakes_nobody_in_the_bake_that_follows(still: Bench) -> None:
    driver = accepted(still, replace(CAREFUL, bake=60_000)).apply(A)
    still.pass_time(60_000)
    driver.claim(resume=True)
    driver.store.postpone(driver.id, A, 10_000, "a look raised")
    gate(driver, A, "look")
    driver.apply(B)
    still.pass_time(20_000)
    assert not driver.due()


def test_a_look_of_an_earlier_round_counts_for_nothing(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    driver.store.hold(driver.id, "ann", "why")
    gate(driver, A, "first")
    assert rollout(driver).stage is Stage.WAITING
    driver.store.promote(driver.id, 1)
    assert rollout(driver).stage is Stage.GATING, "what passed before the hold says nothing of now"
    assert gate(driver, A, "late", number=1) is GateVerdict.IGNORED
    assert rollout(driver).wave == 1
    assert gate(driver, A, "now") is GateVerdict.PASSED
    assert rollout(driver).wave == 2


def test_a_host_that_shows_something_else_fails_at_the_gate_at_once(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    assert gate(driver, A, "look", Health.CHANGED) is GateVerdict.FAILED
    assert driver.kept().reason == "a failed at the gate (GET 503)"
    assert driver.step(A).outcome is Outcome.APPLIED
    assert driver.claim() == (A,)


def test_a_host_that_is_unwell_fails_at_the_third_look_a_second_apart(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    now = bench.now()
    looks = [("one", 0), ("one", 5_000), ("two", 500), ("three", 1_000), ("four", 1_999)]
    for look, after in looks:
        assert gate(driver, A, look, Health.UNWELL, sent=now + after) is GateVerdict.AGAIN
    assert gate(driver, A, "five", Health.UNWELL, sent=now + 2_000) is GateVerdict.FAILED
    assert driver.kept().decision is Decision.ROLL_BACK


def test_the_gate_has_the_deadline_of_a_wave(still: Bench) -> None:
    driver = accepted(still, CAREFUL).apply(A)
    still.pass_time(DEADLINE)
    assert driver.due()
    driver.claim(resume=True)
    assert driver.kept().reason == "the deadline passed"


def test_a_paused_host_of_the_next_wave_holds_the_operation(canary: Driver) -> None:
    canary.bench.pause(B, "ann", "new disk")
    canary.apply(A)
    hold = rollout(canary).hold
    assert hold is not None
    assert hold.why == "b is paused"
    assert canary.store.promote(canary.id, hold.number) is None
    assert rollout(canary).hold is not None, "it is paused still"
    canary.bench.resume(B)
    canary.store.promote(canary.id, 2)
    assert rollout(canary).wave == 2


def test_a_paused_host_holds_the_gate_and_does_not_fail_it(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL)
    bench.pause(A, "ann", "reboot")
    driver.apply(A)
    assert rollout(driver).stage is Stage.BAKING
    assert rollout(driver).hold is not None
    assert not driver.due()
    bench.resume(A)
    driver.store.promote(driver.id, 1)
    assert rollout(driver).stage is Stage.GATING


def test_the_pause_of_a_host_of_the_next_wave_holds_what_comes_after_the_gate(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL)
    bench.pause(B, "ann", "reboot")
    driver.apply(A)
    assert (rollout(driver).stage, rollout(driver).hold) == (Stage.GATING, None)
    gate(driver, A, "look")
    assert rollout(driver).stage is Stage.WAITING
    assert rollout(driver).hold is not None
