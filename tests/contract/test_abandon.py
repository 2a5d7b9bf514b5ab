from __future__ import annotations

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import AttemptState, HostName, OperationId, State, Undo
from lockstep.worker.operation.transitions import Forward, Refusal
from tests.contract.bench import Bench
from tests.contract.driver import PRESENT, A, B, C, Driver

WHY = "host is gone for good (ann)"


def abandon(driver: Driver, host: HostName) -> Refusal | None:
    return driver.store.abandon(driver.id, host, WHY)


def test_an_abandoned_host_no_longer_keeps_the_operation(create: Driver) -> None:
    create.undoing(A, B).undo(B)
    assert abandon(create, A) is None
    assert (create.kept().state, create.kept().ended) == (State.ABANDONED, True)
    assert (create.step(A).undo, create.step(A).reason) == (Undo.ABANDONED, WHY)
    assert create.step(B).undo is Undo.RESTORED
    assert not create.locked()
    assert create.bench.patrol() == set(), "its write had an answer: nothing of it can land late"
    assert set(create.bench.ends(create.kept().group)) == {B}, "what is on a, nobody knows"


def test_attempts_of_an_abandoned_host_are_closed_as_abandoned(create: Driver) -> None:
    create.begin(A, "a1")
    create.roll_back()
    create.begin_undo(A, "u1")
    abandon(create, A)
    assert {each.state for each in create.step(A).attempts} == {AttemptState.ABANDONED}
    assert create.kept().ended


def test_a_host_that_was_given_up_or_restored_waits_for_nothing(bench: Bench) -> None:
    create = Driver(bench).accepted((A, B, C)).undoing(A, B, C)
    for host in (A, B):
        create.store.postpone(create.id, host, 60_000)
    assert abandon(create, A) is None
    create.undo(B)
    assert [create.step(host).due_at for host in (A, B)] == [None, None]


def test_the_other_hosts_are_still_restored(create: Driver) -> None:
    create.undoing(A, B)
    abandon(create, A)
    kept = create.kept()
    assert (kept.state, kept.ended, kept.pending_hosts) == (State.ROLLING_BACK, False, (B,))
    assert create.begin_undo(A, "u1") is Forward.OVER
    create.undo(B)
    assert create.kept().state is State.ABANDONED


def test_a_settling_host_may_be_abandoned_and_the_commit_stands(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)
    create.apply(B).commit()
    assert abandon(create, B) is Refusal.NOT_PENDING
    assert abandon(create, A) is None
    assert (create.kept().state, create.kept().ended) == (State.COMMITTED, True)
    assert create.attempt(A, "a1").state is AttemptState.ABANDONED


def test_an_answer_after_it_was_abandoned_changes_nothing(create: Driver) -> None:
    create.undoing(A, B)
    create.begin_undo(A, "u1")
    abandon(create, A)
    assert create.finish_undo(A, "u1", Effect.APPLIED) is False
    assert create.attempt(A, "u1").state is AttemptState.ABANDONED
    assert create.step(A).undo is Undo.ABANDONED


def test_only_a_pending_host_of_a_decided_operation_is_abandoned(create: Driver) -> None:
    create.begin(A, "a1")
    kept = create.step(A)
    assert abandon(create, A) is Refusal.UNDECIDED
    assert create.step(A) == kept
    create.roll_back()
    assert abandon(create, B) is Refusal.NOT_PENDING
    assert abandon(create, HostName("c")) is Refusal.UNKNOWN
    assert abandon(create, A) is None
    assert abandon(create, A) is Refusal.NOT_PENDING, "once"
    create.id = OperationId("unknown")
    assert abandon(create, A) is Refusal.UNKNOWN
