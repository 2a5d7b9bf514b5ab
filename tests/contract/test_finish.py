from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import (
    AttemptId,
    AttemptState,
    HostName,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.transitions import Forward, Progress
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import ABSENT, PRESENT, A, B, C, Driver

OUTCOMES = [
    (Effect.APPLIED, AttemptState.APPLIED, Progress(Forward.DONE, outcome=Outcome.APPLIED)),
    (Effect.ALREADY, AttemptState.NOT_APPLIED, Progress(Forward.DONE, outcome=Outcome.UNCHANGED)),
    (Effect.REFUSED, AttemptState.NOT_APPLIED, Progress(Forward.FAILED, Outcome.REFUSED, "refused (said)")),
    (Effect.NOT_APPLIED, AttemptState.NOT_APPLIED, Progress(Forward.OPEN)),
    (Effect.UNKNOWN, AttemptState.OPEN, Progress(Forward.OPEN)),
    (Effect.MISDIRECTED, AttemptState.OPEN, Progress(Forward.FAILED, Outcome.UNKNOWN, "misdirected (said)")),
]
EACH = pytest.mark.parametrize(("verdict", "state", "progress"), OUTCOMES, ids=[v for v, _, _ in OUTCOMES])


@EACH
def test_each_verdict_closes_and_concludes_as_it_should(
    create: Driver, verdict: Effect, state: AttemptState, progress: Progress
) -> None:
    create.begin(A, "a1")
    assert create.finish(A, "a1", verdict) == progress
    attempt = create.attempt(A, "a1")
    assert (attempt.state, attempt.answer) == (state, "said")
    assert (attempt.closed_at is None) == (state is AttemptState.OPEN)
    assert attempt.answered_at is not None
    assert create.counts().open == (state is AttemptState.OPEN)
    failed = progress.next is Forward.FAILED
    assert create.counts().failed == failed


@EACH
def test_each_verdict_may_be_recorded_twice(
    create: Driver, verdict: Effect, state: AttemptState, progress: Progress
) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", verdict)
    tally = create.counts()
    assert create.finish(A, "a1", verdict) == progress
    again = create.counts()
    assert (again.todo, again.failed, again.undo, again.open) == (
        tally.todo,
        tally.failed,
        tally.undo,
        tally.open,
    )
    assert create.attempt(A, "a1").state is state


@EACH
def test_after_the_decision_a_verdict_only_closes(
    create: Driver, verdict: Effect, state: AttemptState, progress: Progress
) -> None:
    create.begin(A, "a1")
    create.roll_back()
    assert create.finish(A, "a1", verdict) == Progress(Forward.OVER)
    step = create.step(A)
    assert (step.outcome, step.before) == (None, ABSENT)
    assert create.attempt(A, "a1").state is state
    assert create.counts().undo == 1, "the host is still to be restored"


def test_already_there_was_there_before_if_nothing_else_of_ours_can_have_landed(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.NOT_APPLIED)
    create.begin(A, "a2")
    assert create.finish(A, "a2", Effect.ALREADY).outcome is Outcome.UNCHANGED
    assert create.step(A).before == Seen(Presence.PRESENT)
    assert create.counts().undo == 0, "what was there before is never undone"


@pytest.mark.parametrize("first", [Effect.UNKNOWN, None])
def test_already_there_is_ours_if_an_earlier_write_may_have_landed(
    create: Driver, first: Effect | None
) -> None:
    create.begin(A, "a1")
    if first:
        create.finish(A, "a1", first)
    create.begin(A, "a2")
    assert create.finish(A, "a2", Effect.ALREADY).outcome is Outcome.APPLIED
    assert create.step(A).before == ABSENT
    assert create.counts().undo == 1


def test_an_outcome_is_not_overwritten_by_a_later_answer(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2")
    create.finish(A, "a1", Effect.APPLIED)
    said = create.finish(A, "a2", Effect.REFUSED)
    assert said == Progress(Forward.DONE, outcome=Outcome.APPLIED)
    assert create.step(A).outcome is Outcome.APPLIED
    assert create.counts().failed == 0
    assert create.attempt(A, "a2").state is AttemptState.NOT_APPLIED


def test_a_settled_attempt_is_not_opened_or_closed_anew(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.NOT_APPLIED)
    closed = create.attempt(A, "a1").closed_at
    create.bench.pass_time(2)
    create.finish(A, "a1", Effect.APPLIED)
    assert create.attempt(A, "a1").state is AttemptState.NOT_APPLIED
    assert create.attempt(A, "a1").closed_at == closed


def test_an_answer_that_leaves_no_time_for_another_try_fails_the_step(still: Bench) -> None:
    create = Driver(still).accepted((A, B, C), deadline=1_000)
    for host in (A, B, C):
        create.begin(host, f"{host}1")
    still.pass_time(400)

    def finish(host: HostName, verdict: Effect, needs: int) -> Progress:
        return create.store.finish(create.id, host, AttemptId(f"{host}1"), verdict, "503", needs)

    assert finish(A, Effect.NOT_APPLIED, 599) == Progress(Forward.OPEN)
    assert finish(B, Effect.APPLIED, 600) == Progress(Forward.DONE, outcome=Outcome.APPLIED)
    assert finish(C, Effect.NOT_APPLIED, 600).outcome is Outcome.UNKNOWN
    assert create.step(C).reason == "POST 503; the deadline leaves no time for another try"


def test_an_unknown_attempt_host_or_operation_is_over(create: Driver) -> None:
    assert create.finish(A, "never begun", Effect.APPLIED).next is Forward.OVER
    assert create.finish(HostName("c"), "c1", Effect.APPLIED).next is Forward.OVER
    create.id = OperationId("unknown")
    assert create.finish(A, "a1", Effect.APPLIED).next is Forward.OVER


def test_the_last_answer_of_a_committed_operation_ends_it(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)  # shows that a1 has landed, though its answer is not in
    create.commit()
    assert create.kept().settling
    assert create.locked()
    create.finish(A, "a1", Effect.APPLIED)
    assert create.kept().ended
    assert not create.locked()


def test_a_contested_write_is_refused_where_nothing_of_ours_may_yet_show(create: Driver) -> None:
    create.begin(A, "a1")
    assert create.finish(A, "a1", Effect.CONTESTED, "409") == Progress(
        Forward.FAILED, Outcome.REFUSED, "refused (409)"
    )
    assert create.step(A).outcome is Outcome.REFUSED


def test_while_an_own_write_is_open_a_contested_one_says_nothing(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN, "202")
    create.begin(A, "a2")
    assert create.finish(A, "a2", Effect.CONTESTED, "409") == Progress(Forward.OPEN)
    assert create.attempt(A, "a2").state is AttemptState.NOT_APPLIED
    assert create.attempt(A, "a1").state is AttemptState.OPEN
    assert create.begin(A, "a3", PRESENT).outcome is Outcome.APPLIED


def test_once_it_would_be_settled_a_contested_one_is_refused(create: Driver) -> None:
    create.retries = None
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN, "202")
    create.bench.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle)
    create.begin(A, "a2")
    assert create.finish(A, "a2", Effect.CONTESTED, "409").next is Forward.FAILED


def test_an_applied_write_that_may_not_show_yet_stays_open_and_keeps_the_lock(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    assert create.finish(A, "a1", Effect.UNSHOWN).outcome is Outcome.APPLIED
    assert create.attempt(A, "a1").state is AttemptState.OPEN
    create.commit()
    assert create.locked()
    create.bench.pass_time(LIMITS.send_within + LIMITS.call)
    create.look(A, PRESENT)
    create.bench.pass_time(LIMITS.settle)
    create.look(A, PRESENT)
    assert not create.locked()


def test_an_undo_that_may_not_show_yet_is_proved_by_looks_alone(create: Driver) -> None:
    create.apply(A)
    create.roll_back()
    create.begin_undo(A, "undo")
    assert not create.finish_undo(A, "undo", Effect.UNSHOWN)
    assert create.attempt(A, "undo").state is AttemptState.OPEN
    create.bench.pass_time(LIMITS.send_within + LIMITS.call)
    create.look(A, ABSENT)
    create.bench.pass_time(LIMITS.settle)
    create.look(A, ABSENT)
    assert create.look(A, ABSENT).restored
