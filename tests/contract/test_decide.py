from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Decision, OperationId, Outcome, Undo
from lockstep.worker.operation.states import State
from lockstep.worker.store.base import Cancelled, Verdict
from tests.contract.bench import LIMITS
from tests.contract.driver import PRESENT, A, B, Driver

COMMIT, ROLL_BACK = Decision.COMMIT, Decision.ROLL_BACK


def test_a_commit_needs_every_outcome(create: Driver) -> None:
    create.apply(A)
    assert create.decide(COMMIT) is None
    assert create.kept().state is State.APPLYING
    create.apply(B)
    assert create.decide(COMMIT) is COMMIT
    assert create.kept().state is State.COMMITTED


def test_a_commit_needs_every_host_to_have_succeeded(create: Driver) -> None:
    create.apply(A)
    create.begin(B, "b1")
    create.finish(B, "b1", Verdict.REFUSED)
    assert create.decide(COMMIT) is None
    assert create.decide(ROLL_BACK) is ROLL_BACK


def test_unchanged_hosts_are_as_good_as_changed_ones(create: Driver) -> None:
    create.apply(A)
    create.begin(B, "b1", PRESENT)
    assert create.decide(COMMIT) is COMMIT


def test_the_first_decision_holds_for_ever(create: Driver) -> None:
    create.apply(A)
    assert create.decide(ROLL_BACK, "first") is ROLL_BACK
    kept = create.kept()
    create.bench.pass_time(2)
    assert create.decide(COMMIT) is ROLL_BACK
    assert create.decide(ROLL_BACK, "second") is ROLL_BACK
    assert create.kept() == kept
    assert kept.reason == "first"


def test_a_commit_is_not_undone_by_a_late_roll_back(create: Driver) -> None:
    create.apply(A, B).commit()
    assert create.decide(ROLL_BACK) is COMMIT
    assert create.kept().state is State.COMMITTED


def test_rolling_back_names_the_touched_hosts_as_pending(create: Driver) -> None:
    create.begin(A, "a1")
    create.roll_back()
    kept = create.kept()
    assert (kept.state, kept.pending_hosts) == (State.ROLLING_BACK, (A,))
    assert (create.step(A).undo, create.step(B).undo) == (Undo.NEEDED, Undo.NONE)


def test_rolling_back_what_nobody_touched_is_the_end(create: Driver) -> None:
    create.begin(A, "a1", PRESENT)
    create.roll_back()
    assert (create.kept().state, create.kept().ended) == (State.ROLLED_BACK, True)
    assert not create.locked()


def test_the_caller_of_a_commit_is_answered_while_attempts_settle(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    quiet = create.attempt(A, "a1").quiet_at
    create.begin(A, "a2", PRESENT)
    create.commit()
    kept = create.kept()
    assert (kept.state, kept.settling, kept.ended) == (State.COMMITTED, True, False)
    assert create.step(A).due_at == quiet, "the sweep is to look at it once its window is over"
    create.bench.pass_time(LIMITS.send_within + LIMITS.call)
    assert create.due()


def test_a_decision_ends_the_waits_of_forward_steps(create: Driver) -> None:
    create.begin(A, "a1")
    create.store.postpone(create.id, A, 600_000, "Retry-After")
    create.roll_back()
    assert create.step(A).due_at is None


def test_nobody_decides_an_unknown_operation(create: Driver) -> None:
    create.id = OperationId("unknown")
    keys = create.bench.key_names()
    assert create.decide(ROLL_BACK) is None
    assert create.decide(COMMIT) is None
    assert create.store.cancel(create.id, "no") is Cancelled.UNKNOWN
    assert create.bench.key_names() == keys


def test_cancel_rolls_back_and_asks_the_sweep_to_come_at_once(create: Driver) -> None:
    create.begin(A, "a1")
    assert not create.due()
    assert create.store.cancel(create.id, "cancelled by ann") is Cancelled.CANCELLED
    assert (create.kept().state, create.kept().reason) == (State.ROLLING_BACK, "cancelled by ann")
    assert create.due()
    assert create.store.cancel(create.id, "cancelled by ann") is Cancelled.CANCELLED
    assert create.store.cancel(create.id, "cancelled by bob") is Cancelled.ROLLING_BACK


def test_cancel_after_commit_is_refused(create: Driver) -> None:
    create.apply(A, B).commit()
    kept = create.kept()
    assert create.store.cancel(create.id, "too late") is Cancelled.COMMITTED
    assert create.kept() == kept


@pytest.mark.parametrize("decision", [COMMIT, ROLL_BACK])
def test_outcomes_outlive_the_decision(create: Driver, decision: Decision) -> None:
    create.apply(A, B)
    create.decide(decision)
    assert [step.outcome for step in create.store.steps(create.id)] == [Outcome.APPLIED] * 2
