from __future__ import annotations

from lockstep.worker.operation.model import AttemptId, OperationId, Outcome
from lockstep.worker.operation.transitions import Forward, Miss, Progress
from tests.contract.driver import LONG, PRESENT, RETRIES, A, B, Driver


def test_misses_in_a_row_make_a_host_unreachable(create: Driver) -> None:
    for n in range(1, RETRIES + 1):
        assert create.missed(A, f"p{n}") == Progress(Forward.MISSED, misses=n)
    assert create.missed(A, "last", "GET 503") == Progress(Forward.FAILED, Outcome.UNREACHABLE, "GET 503")
    assert create.step(A).outcome is Outcome.UNREACHABLE
    assert create.kept().reason == "a: GET 503"


def test_one_look_is_counted_once(create: Driver) -> None:
    for _ in range(RETRIES + 2):
        assert create.missed(A, "p1") == Progress(Forward.MISSED, misses=1)


def test_who_missed_a_host_is_told_how_long_it_may_try_on(create: Driver) -> None:
    assert create.missed(A, "p1").left > LONG / 2


def test_the_look_that_failed_the_step_hears_so_again(create: Driver) -> None:
    for n in range(RETRIES + 1):
        create.missed(A, f"p{n}")
    kept = create.step(A)
    assert create.missed(A, f"p{RETRIES}").next is Forward.FAILED
    assert create.missed(A, "another").next is Forward.FAILED, "so does whoever asks later"
    assert create.step(A) == kept
    assert create.counts().failed == 1


def test_a_miss_that_is_told_again_after_another_run_succeeded_hears_of_the_success(create: Driver) -> None:
    create.missed(A, "p1")
    create.begin(A, "a1", PRESENT)  # another run found the group there
    assert create.missed(A, "p1") == Progress(Forward.DONE, outcome=Outcome.UNCHANGED)
    assert create.counts().failed == 0


def test_a_fatal_miss_fails_the_step_at_once(create: Driver) -> None:
    said = create.store.missed(
        create.id, A, "url-of-a", AttemptId("p"), "GET 302", Miss.ANSWERED, Outcome.UNREACHABLE
    )
    assert said == Progress(Forward.FAILED, Outcome.UNREACHABLE, "GET 302")
    assert create.step(A).outcome is Outcome.UNREACHABLE


def test_a_touched_host_that_fails_is_of_unknown_state(create: Driver) -> None:
    create.begin(A, "a1")
    create.store.missed(create.id, A, "url-of-a", AttemptId("p"), "too large", Miss.ANSWERED, Outcome.REFUSED)
    assert create.step(A).outcome is Outcome.UNKNOWN
    assert create.counts().undo == 1


def test_a_miss_after_the_outcome_or_the_decision_changes_nothing(create: Driver) -> None:
    create.begin(A, "a1", PRESENT)
    assert create.missed(A, "p") == Progress(Forward.DONE, outcome=Outcome.UNCHANGED)
    create.roll_back()
    kept = create.step(B)
    assert create.missed(B, "p") == Progress(Forward.OVER)
    assert create.step(B) == kept
    create.id = OperationId("unknown")
    assert create.missed(B, "p") == Progress(Forward.OVER)
