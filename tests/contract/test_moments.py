"""The very millisecond at which one thing becomes another: here the clock, Redis' as well, stands still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Outcome, Stage
from lockstep.worker.operation.transitions import Forward, Refusal
from tests.contract.bench import LIMITS, Bench, RedisBench
from tests.contract.contents import OLD, A, Thing
from tests.contract.driver import GROUP, Driver
from tests.contract.test_patrol import give_up
from tests.contract.waves import CAREFUL, accepted, rollout

MOMENTS = pytest.mark.parametrize("early", [1, 0])
"""A millisecond before it, and just then."""


@MOMENTS
def test_a_host_that_said_yes_shows_it_within_its_time(still: Bench, early: int) -> None:
    thing = Thing(still).accepted(A).written(A)
    still.pass_time(LIMITS.call + LIMITS.settle - early)
    said = thing.shown(A, "a2", OLD)
    if early:
        assert said.next is Forward.MISSED
        assert thing.step(A).reason == "it said 204, and shows what was there before"
    else:
        assert (said.next, said.outcome) == (Forward.FAILED, Outcome.REFUSED)


@MOMENTS
def test_a_contested_write_fails_once_no_other_of_ours_may_show(still: Bench, early: int) -> None:
    create = Driver(still).accepted()
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN)
    create.begin(A, "a2")
    still.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle - early)
    said = create.finish(A, "a2", Effect.CONTESTED)
    assert said.next is (Forward.OPEN if early else Forward.FAILED)


@MOMENTS
def test_a_bake_ends_in_time_although_the_operation_is_held(still_redis: RedisBench, early: int) -> None:
    driver = accepted(still_redis, replace(CAREFUL, bake=5_000)).apply(A)
    assert not isinstance(driver.store.hold(driver.id, "ann", "why"), Refusal)
    still_redis.pass_time(5_000 - early)
    assert driver.due() is not bool(early)
    driver.claim(resume=True)
    assert rollout(driver).stage is (Stage.BAKING if early else Stage.GATING)


@MOMENTS
def test_what_was_suspected_does_not_age_while_a_long_operation_works(still: Bench, early: int) -> None:
    give_up(Driver(still).accepted())
    ((name, at),) = still.store.suspicions(GROUP).items()
    two = Driver(still, "two").accepted()
    still.pass_time(LIMITS.sweep_patience - early)
    two.roll_back()
    assert two.kept().ended
    later = 0 if early else LIMITS.sweep_patience
    assert still.store.suspicions(GROUP) == {name: at + later}
