from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    Millis,
    OperationId,
    Outcome,
    State,
    Undo,
)
from lockstep.worker.operation.transitions import Forward, Progress
from tests.contract.bench import SETTLED, Bench
from tests.contract.driver import ABSENT, PRESENT, A, B, Driver


@pytest.fixture
def rolling(create: Driver) -> Driver:
    """A create that changed both hosts and is to be rolled back."""
    return create.undoing(A, B)


def test_an_undo_is_recorded_before_it_is_sent(rolling: Driver) -> None:
    assert rolling.begin_undo(A, "u1") is Forward.SEND
    attempt = rolling.attempt(A, "u1")
    assert (attempt.undo, attempt.clean, attempt.state) == (True, True, AttemptState.OPEN)
    rolling.bench.pass_time(2)
    assert rolling.begin_undo(A, "u1") is Forward.SEND
    assert rolling.attempt(A, "u1") == attempt, "the same undo keeps its send_by"


@pytest.mark.parametrize("verdict", [Effect.APPLIED, Effect.ALREADY])
def test_a_clean_undo_restores_its_host(rolling: Driver, verdict: Effect) -> None:
    rolling.begin_undo(A, "u1")
    assert rolling.finish_undo(A, "u1", verdict) is True
    assert rolling.step(A).undo is Undo.RESTORED
    assert rolling.kept().pending_hosts == (B,)
    assert rolling.finish_undo(A, "u1", verdict) is True, "so a repetition hears the same"
    assert rolling.begin_undo(A, "u2") is Forward.OVER


@pytest.mark.parametrize("verdict", [Effect.REFUSED, Effect.NOT_APPLIED])
def test_a_refused_undo_closes_its_attempt_and_nothing_else(rolling: Driver, verdict: Effect) -> None:
    rolling.begin_undo(A, "u1")
    assert rolling.finish_undo(A, "u1", verdict) is False
    assert rolling.attempt(A, "u1").state is AttemptState.NOT_APPLIED
    assert (rolling.step(A).undo, rolling.step(A).reason) == (Undo.NEEDED, "said")
    assert rolling.begin_undo(A, "u2") is Forward.SEND, "it never gives up"


def test_an_ambiguous_undo_stays_open(rolling: Driver) -> None:
    rolling.begin_undo(A, "u1")
    assert rolling.finish_undo(A, "u1", Effect.UNKNOWN) is False
    assert rolling.attempt(A, "u1").state is AttemptState.OPEN
    assert rolling.step(A).undo is Undo.NEEDED


def test_an_undo_beside_an_open_attempt_proves_nothing(create: Driver) -> None:
    create.begin(A, "a1")
    create.roll_back()
    create.begin_undo(A, "u1")
    assert create.attempt(A, "u1").clean is False
    create.finish(A, "a1", Effect.NOT_APPLIED)
    assert create.finish_undo(A, "u1", Effect.APPLIED) is False, "a1 may have landed after u1"
    assert create.attempt(A, "u1").state is AttemptState.APPLIED
    assert create.look(A, ABSENT).restored is True, "a GET with nothing open proves it"


def test_a_clean_undo_proves_nothing_while_another_attempt_is_open(rolling: Driver) -> None:
    rolling.begin_undo(A, "u1")
    rolling.begin_undo(A, "u2")
    assert rolling.finish_undo(A, "u1", Effect.APPLIED) is False
    assert rolling.step(A).undo is Undo.NEEDED
    assert rolling.finish_undo(A, "u2", Effect.APPLIED) is False, "u2 was not clean"


def test_the_last_restored_host_is_the_end(rolling: Driver) -> None:
    rolling.undo(A)
    assert not rolling.kept().ended
    rolling.undo(B)
    kept = rolling.kept()
    assert (kept.state, kept.ended, kept.pending_hosts) == (State.ROLLED_BACK, True, ())
    assert not rolling.locked()


def test_fields_that_a_host_would_not_take_back_are_kept(bench: Bench) -> None:
    delete = Driver(bench, action=Action.DELETE).accepted().apply(A).roll_back()
    delete.begin_undo(A, "u1")
    assert delete.finish_undo(A, "u1", Effect.APPLIED, ("colour", "size"))
    assert delete.step(A).lost_fields == ("colour", "size")
    assert delete.step(A).before == PRESENT
    delete.finish_undo(A, "u1", Effect.APPLIED)
    assert delete.step(A).lost_fields == ("colour", "size"), "a repetition does not forget them"
    delete.finish_undo(A, "u1", Effect.APPLIED, ("size",))
    assert delete.step(A).lost_fields == ("size",)


def test_nothing_is_undone_before_the_decision_or_after_the_end(create: Driver) -> None:
    create.apply(A)
    assert create.begin_undo(A, "u1") is Forward.OVER
    create.roll_back()
    assert create.begin_undo(B, "u1") is Forward.OVER, "b was never touched"
    create.undo(A)
    assert create.begin_undo(A, "u2") is Forward.OVER
    assert create.finish_undo(B, "never begun", Effect.APPLIED) is False


def test_nothing_of_a_commit_is_undone(create: Driver) -> None:
    create.apply(A, B).commit()
    assert create.begin_undo(A, "u1") is Forward.OVER


def test_another_url_for_the_host_undoes_nothing(rolling: Driver) -> None:
    said = rolling.store.begin_undo(rolling.id, A, "another url", AttemptId("u1"), Millis(0))
    assert said == Progress(Forward.ELSEWHERE, fingerprint="url-of-a")
    assert rolling.counts().open == 0


def test_an_unknown_operation_has_nothing_to_undo(rolling: Driver) -> None:
    rolling.id = OperationId("unknown")
    keys = rolling.bench.key_names()
    assert rolling.begin_undo(A, "u1") is Forward.OVER
    assert rolling.finish_undo(A, "u1", Effect.APPLIED) is False
    assert rolling.bench.key_names() == keys


def test_a_forward_write_that_lands_late_keeps_the_host_pending(rolling: Driver) -> None:
    assert rolling.kept().pending_hosts == (A, B)
    rolling.finish(A, "a1", Effect.APPLIED)
    assert rolling.kept().pending_hosts == (A, B)


def test_a_host_that_failed_and_is_restored_has_failed_still(create: Driver) -> None:
    """Whoever delivers its task again hears so, though the reason went with what was undone."""
    for number in range(3):
        create.begin(A, f"a{number}")
        create.finish(A, f"a{number}", Effect.UNKNOWN)
    assert create.begin(A, "a3").next is Forward.FAILED
    for _ in range(3):
        create.bench.pass_time(SETTLED)
        create.look(A, ABSENT)
    assert (create.step(A).undo, create.step(A).reason) == (Undo.RESTORED, None)
    said = (create.begin(A, "a4"), create.missed(A, "p1"), create.finish(A, "a0", Effect.UNKNOWN))
    assert said == (Progress(Forward.FAILED, Outcome.UNKNOWN),) * 3
