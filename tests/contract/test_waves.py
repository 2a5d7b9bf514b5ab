"""Waves: which hosts may be worked on when, and what opens the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import AttemptId, Decision, Outcome, Stage, State
from lockstep.worker.operation.transitions import Accepted, Claim, Forward, Miss, Phase
from lockstep.worker.operation.waves import Health
from tests.contract.bench import Bench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, C, Driver
from tests.contract.waves import CAREFUL, DEADLINE, THREE, TWO, accepted, gate, rollout


def test_nothing_is_recorded_of_a_host_whose_wave_is_not_open(canary: Driver) -> None:
    assert canary.begin(B, "b1").next is Forward.NOT_OPEN
    assert canary.begin(B, "b1", PRESENT).next is Forward.NOT_OPEN
    assert canary.missed(B, "look", miss=Miss.UNUSABLE).next is Forward.NOT_OPEN
    assert canary.store.postpone(canary.id, B, 5, "why", AttemptId("x")) == 0
    step = canary.step(B)
    assert (step.before, step.outcome, step.reason, step.misses, step.attempts) == (None, None, None, 0, ())
    assert step.due_at is None
    assert step.wave == 2


def test_a_wave_opens_in_the_transition_that_ends_the_one_before(canary: Driver) -> None:
    assert canary.claim() == (), "whoever asked publishes the first wave"
    canary.apply(A)
    assert rollout(canary) == replace(rollout(canary), wave=2, stage=Stage.WORKING, hold=None)
    assert canary.kept().decision is None
    assert canary.due()
    assert canary.store.claim(canary.id) == Claim(Phase.FORWARD, GROUP, canary.action, (B,), 2)
    assert canary.claim() == (), "once"
    canary.apply(B)
    assert canary.kept().state is State.COMMITTED
    assert canary.kept().ended
    assert not canary.locked()
    assert {key for key in canary.bench.key_names() if "later" in key or "gating" in key} == set()


def test_a_single_wave_is_the_last(bench: Bench) -> None:
    driver = accepted(bench, replace(THREE, waves={A: 1, B: 1}, hold=True))
    assert rollout(driver) == replace(rollout(driver), wave=1, waves=1, hold=None)
    assert driver.apply(A, B).kept().ended


def test_hosts_that_wait_for_their_wave_are_not_done(canary: Driver) -> None:
    assert canary.kept().hosts_done == 0
    canary.apply(A)
    assert canary.kept().hosts_done == 1


def test_a_failure_in_a_late_wave_undoes_the_early_ones(bench: Bench) -> None:
    driver = accepted(bench, THREE).apply(A)
    driver.begin(B, "b1")
    driver.finish(B, "b1", Effect.REFUSED)
    assert driver.kept().decision is Decision.ROLL_BACK
    assert set(driver.claim()) == {A, B}
    assert driver.begin(C, "c1").next is Forward.OVER
    driver.undo(A)
    driver.look(B, ABSENT)
    assert driver.kept().state is State.ROLLED_BACK
    assert bench.ends(GROUP) == {A: ("absent", "one"), B: ("absent", "one")}, "nothing is said of c"


def test_no_wave_opens_after_a_cancel(canary: Driver) -> None:
    assert canary.store.cancel(canary.id, "why") is None
    canary.apply(A)
    assert rollout(canary).wave == 1
    assert canary.begin(B, "b1").next is Forward.OVER


def test_calls_of_both_waves_that_are_served_together_are_served_one_by_one(bench: Bench) -> None:
    driver = accepted(bench, TWO)
    driver.begin(A, "a1")
    driver.finish(A, "a1", Effect.APPLIED)
    assert driver.begin(B, "b1").next is Forward.SEND


def test_a_bake_keeps_the_next_wave_and_the_sweep_off_until_it_is_over(still: Bench) -> None:
    driver = accepted(still, replace(TWO, bake=60_000)).apply(A)
    assert rollout(driver).stage is Stage.BAKING
    assert driver.store.claim(driver.id, resume=True) == Claim(Phase.WAIT, GROUP, driver.action)
    still.pass_time(59_999)
    assert not driver.due(), "neither the deadline nor the sweep's patience ends a bake"
    assert driver.begin(B, "b1").next is Forward.NOT_OPEN
    still.pass_time(1)
    assert driver.due()
    assert driver.claim(resume=True) == (B,)
    driver.apply(B)
    assert rollout(driver).stage is Stage.BAKING, "the last wave is baked before the commit"
    still.pass_time(60_000)
    assert driver.claim(resume=True) == ()
    assert driver.kept().state is State.COMMITTED


def test_what_opens_is_published_by_whoever_opened_it(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL)
    driver.begin(A, "a1")
    assert list(driver.store.called()) == []
    driver.finish(A, "a1", Effect.APPLIED)
    assert list(driver.store.called()) == [driver.id], "a round of the gate"
    assert driver.claim(resume=True) == (A,)
    gate(driver, A, "look")
    assert list(driver.store.called()) == [driver.id], "a wave"
    assert driver.claim() == (B,), "a callback that is quicker finds the same, once"
    assert driver.claim(resume=True) == ()
    driver.apply(B)
    driver.claim()
    driver.store.hold(driver.id, "ann", "why")
    gate(driver, B, "look")
    gate(driver, A, "again")
    assert list(driver.store.called()) == [driver.id], "the round alone: it is held"


def test_a_wave_that_changed_nothing_is_not_baked(bench: Bench) -> None:
    driver = accepted(bench, replace(TWO, bake=60_000))
    driver.begin(A, "a1", PRESENT)
    assert driver.step(A).outcome is Outcome.UNCHANGED
    assert rollout(driver).wave == 2


def test_the_deadline_is_of_each_wave_and_does_not_run_in_a_bake(still: Bench) -> None:
    driver = accepted(still, replace(TWO, bake=60_000))
    still.pass_time(DEADLINE - 1)
    driver.apply(A)
    still.pass_time(60_000)
    assert driver.claim(resume=True) == (B,)
    still.pass_time(DEADLINE - 1)
    driver.claim(resume=True)
    assert driver.kept().decision is None
    still.pass_time(1)
    assert driver.due()
    driver.claim(resume=True)
    assert driver.kept().reason == "the deadline passed"


def test_an_operation_expires_whatever_it_waits_for(still: Bench) -> None:
    driver = accepted(still, replace(TWO, bake=60_000, within=30_000)).apply(A)
    still.pass_time(29_999)
    assert driver.claim(resume=True) == ()
    assert driver.kept().decision is None
    still.pass_time(1)
    assert driver.due()
    assert driver.claim(resume=True) == (A,)
    assert driver.kept().reason == "it expired before every wave was done"


def test_waves_are_part_of_what_an_id_stands_for(canary: Driver) -> None:
    again = replace(canary.request(), rollout=TWO, deadline=DEADLINE)
    assert canary.store.accept(again) is Accepted.EXISTING
    for other in (None, THREE, replace(TWO, bake=1), replace(TWO, hold=True), replace(TWO, gate=True)):
        with pytest.raises(Exception, match="belongs to another operation"):
            canary.store.accept(replace(again, rollout=other))


def test_a_step_keeps_the_health_path_that_its_producer_gave(bench: Bench) -> None:
    driver = accepted(bench, replace(CAREFUL, health={A: "/health"}))
    assert (driver.step(A).health, driver.step(B).health) == ("/health", None)
    driver.apply(A)
    gate(driver, A, "look", Health.UNWELL)
    seen = driver.step(A).gate
    assert seen is not None
    assert (seen.round, seen.said) == (1, "GET 503")
