"""Waves: which hosts may be worked on when, what opens the next, and what nobody may skip."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from lockstep.worker.operation.answer import Verdict
from lockstep.worker.operation.model import (
    AttemptId,
    Decision,
    HostName,
    Millis,
    Outcome,
    Stage,
    Standing,
    State,
)
from lockstep.worker.operation.transitions import (
    Accepted,
    Cancelled,
    Claim,
    Forward,
    Held,
    Miss,
    Phase,
    Refused,
)
from lockstep.worker.operation.waves import HOLD_MOST, Gated, Health, Rollout
from tests.contract.bench import Bench, MemoryBench, RedisBench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, C, Driver

TWO = Rollout({A: 1, B: 2})
THREE = Rollout({A: 1, B: 2, C: 3})
CAREFUL = replace(TWO, gate=True)
DEADLINE = 10_000


def accepted(bench: Bench, rollout: Rollout, deadline: int = DEADLINE) -> Driver:
    """Accept a create with waves on the hosts that have one."""
    driver = Driver(bench)
    request = replace(driver.request(tuple(rollout.waves), deadline=deadline), rollout=rollout)
    assert driver.store.accept(request) is Accepted.ACCEPTED
    return driver


@pytest.fixture
def canary(bench: Bench) -> Driver:
    """A create on a, and then on b."""
    return accepted(bench, TWO)


def rollout(driver: Driver) -> Standing:
    """How far it is."""
    found = driver.kept().rollout
    assert found is not None
    return found


def gate(
    driver: Driver,
    host: HostName,
    look: str,
    health: Health = Health.WELL,
    number: int | None = None,
    sent: int = 0,
) -> Gated:
    """Record a look of the gate, of the open round unless told otherwise."""
    number = rollout(driver).round if number is None else number
    sent_at = Millis(sent) or driver.bench.now()
    return driver.store.gate_seen(driver.id, host, number, sent_at, AttemptId(look), health, "GET 503")


def test_nothing_is_recorded_of_a_host_whose_wave_is_not_open(canary: Driver) -> None:
    assert canary.begin(B, "b1").next is Forward.NOT_OPEN
    assert canary.begin(B, "b1", PRESENT).next is Forward.NOT_OPEN
    assert canary.missed(B, "probe", miss=Miss.UNUSABLE).next is Forward.NOT_OPEN
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
    assert canary.store.claim(canary.id) == Claim(Phase.FORWARD, GROUP, canary.action, (B,))
    assert canary.claim() == (), "once"
    canary.apply(B)
    assert canary.kept().state is State.COMMITTED
    assert canary.kept().ended
    assert not canary.locked()
    assert {key for key in canary.bench.key_names() if "later" in key or "gating" in key} == set()


def test_hosts_that_wait_for_their_wave_are_not_done(canary: Driver) -> None:
    assert canary.kept().hosts_done == 0
    canary.apply(A)
    assert canary.kept().hosts_done == 1


def test_a_failure_in_a_late_wave_undoes_the_early_ones(bench: Bench) -> None:
    driver = accepted(bench, THREE).apply(A)
    driver.begin(B, "b1")
    driver.finish(B, "b1", Verdict.REFUSED)
    assert driver.kept().decision is Decision.ROLL_BACK
    assert set(driver.claim()) == {A, B}
    assert driver.begin(C, "c1").next is Forward.ABORTED
    driver.undo(A)
    driver.look(B, ABSENT)
    assert driver.kept().state is State.ROLLED_BACK
    assert bench.ends(GROUP) == {A: ("absent", "one"), B: ("absent", "one")}, "nothing is said of c"


def test_no_wave_opens_after_a_cancel(canary: Driver) -> None:
    assert canary.store.cancel(canary.id, "why") is Cancelled.CANCELLED
    canary.apply(A)
    assert rollout(canary).wave == 1
    assert canary.begin(B, "b1").next is Forward.ABORTED


def test_calls_of_both_waves_that_are_served_together_are_served_one_by_one(bench: Bench) -> None:
    driver = accepted(bench, TWO)
    driver.begin(A, "a1")
    driver.finish(A, "a1", Verdict.APPLIED)
    assert driver.begin(B, "b1").next is Forward.SEND


def test_a_bake_keeps_the_next_wave_and_the_sweep_off_until_it_is_over(memory: MemoryBench) -> None:
    driver = accepted(memory, replace(TWO, bake=60_000)).apply(A)
    assert rollout(driver).stage is Stage.BAKING
    assert driver.store.claim(driver.id, resume=True) == Claim(Phase.WAIT, GROUP, driver.action)
    memory.pass_time(59_999)
    assert not driver.due(), "neither the deadline nor the sweep's patience ends a bake"
    assert driver.begin(B, "b1").next is Forward.NOT_OPEN
    memory.pass_time(1)
    assert driver.due()
    assert driver.claim(resume=True) == (B,)
    driver.apply(B)
    assert rollout(driver).stage is Stage.BAKING, "the last wave is baked before the commit"
    memory.pass_time(60_000)
    assert driver.claim(resume=True) == ()
    assert driver.kept().state is State.COMMITTED


def test_a_wave_that_changed_nothing_is_not_baked(bench: Bench) -> None:
    driver = accepted(bench, replace(TWO, bake=60_000))
    driver.begin(A, "a1", PRESENT)
    assert driver.step(A).outcome is Outcome.UNCHANGED
    assert rollout(driver).wave == 2


def test_the_deadline_is_of_each_wave_and_does_not_run_in_a_bake(memory: MemoryBench) -> None:
    driver = accepted(memory, replace(TWO, bake=60_000))
    memory.pass_time(DEADLINE - 1)
    driver.apply(A)
    memory.pass_time(60_000)
    assert driver.claim(resume=True) == (B,)
    memory.pass_time(DEADLINE - 1)
    assert driver.kept().decision is None
    memory.pass_time(1)
    assert driver.due()
    driver.claim(resume=True)
    assert driver.kept().reason == "the deadline passed"


def test_an_operation_expires_whatever_it_waits_for(memory: MemoryBench) -> None:
    driver = accepted(memory, replace(TWO, bake=60_000, within=30_000)).apply(A)
    memory.pass_time(30_000)
    assert driver.due()
    assert driver.claim(resume=True) == (A,)
    assert driver.kept().reason == "it expired before every wave was done"


def test_a_hold_lets_the_wave_at_work_end_and_no_other_begin(canary: Driver) -> None:
    held = canary.store.hold(canary.id, "ann", "look at a first")
    assert held == Held(1, 1, Stage.WORKING)
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
    assert canary.store.promote(canary.id, 1) is Refused.ALREADY
    canary.store.hold(canary.id, "bob", "second")
    assert canary.store.promote(canary.id, 1) is Refused.ALREADY, "it comes late, or again"
    canary.apply(A)
    assert rollout(canary).wave == 1
    canary.store.hold(canary.id, "eve", "third")
    assert canary.store.promote(canary.id, 2) is Refused.OTHER
    assert canary.store.promote(canary.id, 3) is None
    assert rollout(canary).wave == 2


def test_hold_and_promote_say_why_they_do_nothing(canary: Driver) -> None:
    assert canary.store.promote(canary.id, 1) is Refused.FREE
    canary.roll_back()
    assert canary.store.hold(canary.id, "ann", "why") is Refused.ROLLING_BACK
    assert canary.store.promote(canary.id, 1) is Refused.ROLLING_BACK
    gone = Driver(canary.bench, "gone")
    assert gone.store.hold(gone.id, "ann", "why") is Refused.UNKNOWN
    assert gone.store.promote(gone.id, 1) is Refused.UNKNOWN


def test_an_operation_without_waves_cannot_be_held(create: Driver) -> None:
    assert create.store.hold(create.id, "ann", "why") is Refused.NO_WAVES
    assert create.store.promote(create.id, 1) is Refused.FREE


def test_a_hold_ends_in_a_rollback_if_nobody_promotes(memory: MemoryBench) -> None:
    driver = accepted(memory, TWO).apply()
    driver.store.hold(driver.id, "ann", "why")
    driver.apply(A)
    memory.pass_time(HOLD_MOST - 1)
    assert not driver.due(), "a day of waiting costs nothing"
    memory.pass_time(1)
    assert driver.due()
    assert driver.claim(resume=True) == (A,)
    assert driver.kept().reason == "it was held for too long"


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
    assert driver.store.claim(driver.id) == Claim(Phase.GATE, GROUP, driver.action, (A,))
    assert driver.store.view(driver.id, A).gating == 1
    assert driver.begin(B, "b1").next is Forward.NOT_OPEN
    assert gate(driver, A, "look") is Gated.PASSED
    assert gate(driver, A, "again", Health.CHANGED) is Gated.IGNORED, "it has passed"
    assert driver.store.view(driver.id, A).gating is None
    driver.apply(B)
    assert driver.store.claim(driver.id) == Claim(Phase.GATE, GROUP, driver.action, (A, B)), "a again"
    gate(driver, A, "a")
    assert driver.kept().decision is None
    gate(driver, B, "b")
    assert driver.kept().state is State.COMMITTED


def test_a_look_of_an_earlier_round_counts_for_nothing(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    driver.store.hold(driver.id, "ann", "why")
    gate(driver, A, "first")
    assert rollout(driver).stage is Stage.WAITING
    driver.store.promote(driver.id, 1)
    assert rollout(driver).stage is Stage.GATING, "what passed before the hold says nothing of now"
    assert gate(driver, A, "late", number=1) is Gated.IGNORED
    assert rollout(driver).wave == 1
    assert gate(driver, A, "now") is Gated.PASSED
    assert rollout(driver).wave == 2


def test_a_host_that_shows_something_else_fails_at_the_gate_at_once(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    assert gate(driver, A, "look", Health.CHANGED) is Gated.FAILED
    assert driver.kept().reason == "a failed at the gate (GET 503)"
    assert driver.step(A).outcome is Outcome.APPLIED
    assert driver.claim() == (A,)


def test_a_host_that_is_unwell_fails_at_the_third_look_a_second_apart(bench: Bench) -> None:
    driver = accepted(bench, CAREFUL).apply(A)
    now = bench.now()
    looks = [("one", 0), ("one", 5_000), ("two", 500), ("three", 1_000), ("four", 1_999)]
    for look, after in looks:
        assert gate(driver, A, look, Health.UNWELL, sent=now + after) is Gated.AGAIN
    assert gate(driver, A, "five", Health.UNWELL, sent=now + 2_000) is Gated.FAILED
    assert driver.kept().decision is Decision.ROLL_BACK


def test_the_gate_has_the_deadline_of_a_wave(memory: MemoryBench) -> None:
    driver = accepted(memory, CAREFUL).apply(A)
    memory.pass_time(DEADLINE)
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


ACTS: tuple[Callable[[Driver, random.Random, str], object], ...] = (
    lambda driver, chance, name: driver.begin(host_of(driver, chance), name),
    lambda driver, chance, name: driver.begin(host_of(driver, chance), name, PRESENT),
    lambda driver, chance, name: finish_one(driver, chance, Verdict.APPLIED),
    lambda driver, chance, name: finish_one(driver, chance, Verdict.APPLIED),
    lambda driver, chance, name: finish_one(driver, chance, Verdict.NOT_APPLIED),
    lambda driver, chance, name: driver.missed(host_of(driver, chance), name),
    lambda driver, chance, name: driver.store.hold(driver.id, "ann", name) if chance.random() < 0.3 else None,
    lambda driver, chance, name: driver.store.promote(driver.id, seen_hold(driver) or chance.randint(1, 4)),
    lambda driver, chance, name: driver.store.claim(driver.id, resume=chance.random() < 0.5),
    lambda driver, chance, name: gate(driver, host_of(driver, chance), name, number=chance.randint(1, 3)),
    lambda driver, chance, name: gate(driver, host_of(driver, chance), name),
    lambda driver, chance, name: (
        gate(driver, host_of(driver, chance), name, Health.UNWELL) if chance.random() < 0.5 else None
    ),
    lambda driver, chance, name: (
        driver.roll_back() if chance.random() < 0.02 and not driver.kept().decision else None
    ),
)


def host_of(driver: Driver, chance: random.Random) -> HostName:
    return chance.choice([A, B, C])


def seen_hold(driver: Driver) -> int | None:
    standing = driver.kept().rollout
    return standing.hold.number if standing and standing.hold else None


def finish_one(driver: Driver, chance: random.Random, verdict: Verdict) -> object:
    step = driver.step(host_of(driver, chance))
    return step.open_attempts and driver.finish(step.host, step.open_attempts[0].id, verdict)


@pytest.mark.parametrize("seed", range(12))
def test_the_script_and_its_twin_go_the_same_way(redis_bench: RedisBench, seed: int) -> None:
    """Whatever is asked in whatever order: both answer the same, and come to the same."""
    chance = random.Random(seed)
    asked = replace(
        Rollout({A: 1, B: chance.randint(1, 2), C: chance.randint(2, 3)}),
        gate=chance.random() < 0.5,
        hold=chance.random() < 0.3,
    )
    numbers = {wave: n for n, wave in enumerate(sorted(set(asked.waves.values())), start=1)}
    asked = replace(asked, waves={host: numbers[wave] for host, wave in asked.waves.items()})
    both = [accepted(each, asked, deadline=600_000) for each in (redis_bench, MemoryBench())]
    for turn in range(120):
        act = chance.choice(ACTS)
        state = chance.getstate()
        said = []
        for driver in both:
            chance.setstate(state)
            said.append((act(driver, chance, f"n{turn}"), told(driver)))
        assert said[0][1] == said[1][1], f"after turn {turn}"
        if not isinstance(said[0][0], Driver | Claim | None):
            assert said[0][0] == said[1][0], f"turn {turn}"
        if isinstance(said[0][0], Claim):
            assert isinstance(said[1][0], Claim)
            assert set(said[0][0].hosts) == set(said[1][0].hosts)


def told(driver: Driver) -> object:
    """What does not depend on the clock."""
    kept = driver.kept()
    standing = kept.rollout
    assert standing is not None
    hold = standing.hold and (standing.hold.number, standing.hold.who, standing.hold.why)
    steps = [
        (each.host, each.before, each.outcome, each.undo, len(each.open_attempts))
        for each in driver.store.steps(driver.id)
    ]
    return (
        (kept.state, kept.decision, kept.ended, kept.reason, kept.hosts_done),
        kept.decision or driver.due(),
        None if kept.ended else (standing.wave, standing.stage, hold, standing.round),
        steps,
    )
