from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, GroupId, OperationId
from lockstep.worker.operation.transitions import Claim, Phase
from tests.contract.bench import LIMITS, PREFIX, UNIT, Bench, RedisBench
from tests.contract.driver import GROUP, PRESENT, A, B, C, Driver


@pytest.fixture
def exact(still: Bench) -> Driver:
    """An accepted create under a clock that the test moves."""
    return Driver(still).accepted(deadline=10**12)


def test_the_callback_claims_a_rollback_once(create: Driver) -> None:
    create.apply(A)
    assert create.claim() == (), "nothing is decided"
    create.roll_back()
    assert create.claim() == (A,)
    assert create.claim() == ()


def test_the_callback_has_nothing_to_do_after_a_commit(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)
    create.apply(B).commit()
    assert create.claim() == ()


def test_a_rollback_that_nobody_published_is_the_sweeps_at_once(create: Driver) -> None:
    create.apply(A).begin(B, "b1")
    create.store.cancel(create.id, "cancelled")
    assert create.due()
    assert create.claim(resume=True) == (A, B)
    assert create.claim() == (), "each host is published once"
    assert create.claim(resume=True) == ()


def test_the_sweep_leaves_alone_what_moves(create: Driver) -> None:
    assert create.claim(resume=True) == ()
    assert not create.due()


def test_the_sweep_claims_everything_once_nothing_has_moved_for_the_patience(bench: Bench) -> None:
    create = Driver(bench)
    patience = max(1_000, 30 * UNIT)  # then it doubles: a busy machine does not use that up
    create.store = bench.limited(sweep_patience=patience)
    create.accepted((A, B, C)).apply(B)
    bench.pass_time(patience)
    assert create.due()
    assert create.claim(resume=True) == (A, C), "b has its outcome"
    assert create.store.claim(create.id, resume=True) == Claim(Phase.FORWARD, GROUP, Action.CREATE)


def test_patience_doubles_with_each_resumption(exact: Driver) -> None:
    for resumed in range(12):
        patience = LIMITS.sweep_patience * 2 ** min(resumed, 10)
        exact.bench.pass_time(patience - 1)
        assert not exact.due(), f"resumption {resumed + 1} comes too early"
        exact.bench.pass_time(1)
        assert exact.due()
        assert exact.claim(resume=True) == (A, B)


def test_progress_puts_the_patience_back_to_its_start(exact: Driver) -> None:
    exact.bench.pass_time(LIMITS.sweep_patience)
    exact.claim(resume=True)
    exact.begin(A, "a1")
    exact.bench.pass_time(LIMITS.sweep_patience - 1)
    assert exact.claim(resume=True) == ()
    exact.bench.pass_time(1)
    assert exact.due()
    assert exact.claim(resume=True) == (A, B)


def test_any_answer_is_progress(exact: Driver) -> None:
    exact.begin(A, "a1")
    exact.bench.pass_time(LIMITS.sweep_patience - 1)
    exact.finish(A, "a1", Effect.UNKNOWN)
    exact.bench.pass_time(1)
    assert exact.claim(resume=True) == ()


def test_a_wait_is_over_when_it_is_over(exact: Driver) -> None:
    exact.store.postpone(exact.id, A, 10_000, "Retry-After")
    assert exact.step(A).due_at == exact.bench.now() + 10_000
    exact.bench.pass_time(9_999)
    assert not exact.due()
    assert exact.claim(resume=True) == ()
    exact.bench.pass_time(1)
    assert exact.due()
    assert exact.claim(resume=True) == (A,), "b waits for nothing, and something has moved"
    assert exact.claim(resume=True) == (), "it is claimed"
    assert exact.step(A).due_at is None


def test_a_wait_that_is_over_is_taken_up_once(create: Driver) -> None:
    create.store.postpone(create.id, A, 5)
    create.bench.pass_time(5)
    assert create.due()
    assert create.claim(resume=True) == (A,)
    assert create.claim(resume=True) == ()


def test_a_wait_that_is_over_is_taken_up_once_though_nothing_has_moved_either(still: Bench) -> None:
    create = Driver(still).accepted()
    create.store.postpone(create.id, A, 1_000)
    still.pass_time(LIMITS.sweep_patience)
    assert create.claim(resume=True) == (A, B)


def test_who_waits_is_not_resumed_before_time(bench: Bench) -> None:
    create = Driver(bench)
    create.store = bench.limited(sweep_patience=20)
    create.accepted()
    create.store.postpone(create.id, A, 600_000, "Retry-After")
    bench.pass_time(20)
    assert create.claim(resume=True) == (B,)


def test_the_wait_of_a_host_that_is_done_is_dropped(create: Driver) -> None:
    create.begin(A, "a1")
    create.store.postpone(create.id, A, 5)
    create.finish(A, "a1", Effect.APPLIED)
    assert create.step(A).due_at is None


def test_a_host_that_is_done_is_not_taken_up_although_it_waits(create: Driver) -> None:
    create.apply(A)
    create.store.postpone(create.id, A, 5)
    create.bench.pass_time(5)
    assert create.claim(resume=True) == ()


def test_the_deadline_makes_an_operation_due_and_its_rollback_is_claimed(still: Bench) -> None:
    create = Driver(still).accepted(deadline=10_000).apply(A)
    still.pass_time(9_999)
    assert not create.due()
    still.pass_time(1)
    assert create.due()
    assert create.store.claim(create.id) == Claim(Phase.ROLLBACK, GROUP, Action.CREATE, (A,))
    assert not create.due(), "the next time is after the patience"


def test_what_whoever_asked_publishes_is_claimed_already(create: Driver) -> None:
    assert create.store.claim(create.id) == Claim(Phase.FORWARD, GROUP, Action.CREATE)


def test_what_a_commit_leaves_open_waits_in_the_record(exact: Driver) -> None:
    create = exact
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)
    create.apply(B).commit()
    assert not create.due()
    assert create.store.claim(create.id) == Claim(Phase.SETTLE, GROUP, Action.CREATE)


def test_settling_hosts_are_the_sweeps_once_their_window_is_over(exact: Driver) -> None:
    exact.begin(A, "a1")
    exact.begin(A, "a2", PRESENT)
    exact.apply(B).commit()
    exact.bench.pass_time(LIMITS.send_within + LIMITS.call)
    assert exact.claim(resume=True) == (A,)


def test_an_operation_that_has_ended_or_never_was_is_nobodys(create: Driver) -> None:
    create.apply(A, B).commit()
    assert create.claim(resume=True) == create.claim() == ()
    assert not create.due()
    create.id = OperationId("unknown")
    assert create.claim(resume=True) == create.claim() == ()


def test_an_operation_that_redis_lost_is_looked_at_once(redis_bench: RedisBench) -> None:
    redis_bench.client.zadd(f"{PREFIX}due", {"lost": 1})
    assert redis_bench.store.due(10) == ("lost",)
    assert redis_bench.store.claim(OperationId("lost"), resume=True) is None
    assert redis_bench.store.due(10) == ()


def test_the_longest_overdue_comes_first_and_so_many_at_once(still: Bench) -> None:
    for name in ("three", "one", "two"):
        each = Driver(still, name)
        still.pass_time(1)
        each.store.accept(each.request(group=GroupId(name)))
    still.pass_time(2 * LIMITS.sweep_patience)
    assert still.store.due(100) == ("three", "one", "two")
    assert still.store.due(2) == ("three", "one")
