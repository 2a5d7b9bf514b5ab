from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    GroupId,
    HostName,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Undo,
)
from lockstep.worker.operation.transitions import Forward, Progress
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import ABSENT, GROUP, PRESENT, RETRIES, A, B, Driver


def test_begin_opens_an_attempt_before_anything_is_sent(create: Driver) -> None:
    before = create.bench.now()
    assert create.begin(A, "a1") == Progress(Forward.SEND)
    step, attempt = create.step(A), create.attempt(A, "a1")
    assert step.touched
    assert step.before == ABSENT
    assert (attempt.state, attempt.undo, attempt.clean) == (AttemptState.OPEN, False, True)
    assert before <= attempt.opened_at <= create.bench.now()
    assert attempt.send_by == attempt.opened_at + LIMITS.send_within
    assert attempt.quiet_at == attempt.send_by + LIMITS.call
    assert (create.counts().undo, create.counts().open, create.counts().todo) == (1, 1, 2)
    assert create.step(A).undo is Undo.NONE, "undo is needed only once it is decided to roll back"


def test_the_same_attempt_again_may_still_be_sent_by_its_first_send_by(create: Driver) -> None:
    create.begin(A, "a1")
    first = create.attempt(A, "a1")
    create.bench.pass_time(2)
    assert create.begin(A, "a1") == Progress(Forward.SEND)
    assert create.step(A).attempts == (first,)


def test_a_host_that_is_as_asked_and_untouched_is_unchanged(create: Driver) -> None:
    assert create.begin(A, "a1", PRESENT) == Progress(Forward.DONE, outcome=Outcome.UNCHANGED)
    assert create.step(A).before == Seen(Presence.PRESENT)
    assert not create.step(A).touched
    assert (create.counts().todo, create.counts().undo, create.counts().open) == (1, 0, 0)


def test_a_host_that_is_as_asked_and_touched_was_changed_by_us(create: Driver) -> None:
    create.begin(A, "a1")
    assert create.begin(A, "a2", PRESENT) == Progress(Forward.DONE, outcome=Outcome.APPLIED)
    assert create.step(A).before == ABSENT
    assert len(create.step(A).attempts) == 1


def test_what_was_seen_first_stays(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.NOT_APPLIED)
    create.begin(A, "a2", PRESENT)
    assert create.step(A).before == ABSENT


def test_a_delete_keeps_the_body_that_it_takes_away(bench: Bench) -> None:
    delete = Driver(bench, action=Action.DELETE).accepted()
    assert delete.begin(A, "a1", PRESENT).next is Forward.SEND
    assert delete.step(A).before == PRESENT
    assert delete.begin(B, "b1", ABSENT) == Progress(Forward.DONE, outcome=Outcome.UNCHANGED)


def test_a_step_with_an_outcome_writes_nothing(create: Driver) -> None:
    create.apply(A)
    kept = create.step(A)
    assert create.begin(A, "a2") == Progress(Forward.DONE, outcome=Outcome.APPLIED)
    assert create.step(A) == kept


def test_a_host_is_given_up_once_all_its_writes_are_spent(create: Driver) -> None:
    for n in range(RETRIES + 1):
        assert create.begin(A, f"a{n}").next is Forward.SEND
        assert create.finish(A, f"a{n}", Effect.UNKNOWN, f"answer {n}").next is Forward.OPEN
    last = create.begin(A, "one more")
    assert last == Progress(Forward.FAILED, Outcome.UNKNOWN, "all 3 writes spent (answer 2)")
    assert create.step(A).outcome is Outcome.UNKNOWN
    assert len(create.step(A).attempts) == RETRIES + 1
    assert create.counts().failed == 1
    assert create.kept().reason == "a: all 3 writes spent (answer 2)"


def test_the_last_write_may_still_prove_to_have_landed(create: Driver) -> None:
    for n in range(RETRIES + 1):
        create.begin(A, f"a{n}")
    assert create.begin(A, "one more", PRESENT).outcome is Outcome.APPLIED


def test_another_url_for_the_host_writes_nothing(create: Driver) -> None:
    kept = create.step(A)
    said = create.store.begin(create.id, A, "another url", ABSENT, AttemptId("a1"), create.action, GROUP)
    assert said == Progress(Forward.ELSEWHERE, fingerprint="url-of-a")
    assert create.step(A) == kept


@pytest.mark.parametrize(
    ("action", "group"), [(Action.CREATE, GroupId("other")), (Action.DELETE, GROUP)], ids=["group", "action"]
)
def test_what_was_seen_of_something_else_is_not_taken_for_this_operations(
    create: Driver, action: Action, group: GroupId
) -> None:
    """An id can be used again once its record is dropped, and a message of the first may come late."""
    kept = create.step(A)
    said = create.store.begin(create.id, A, "url-of-a", ABSENT, AttemptId("a1"), action, group)
    assert said == Progress(Forward.OVER)
    assert create.step(A) == kept


@pytest.mark.parametrize("decided", ["rolling back", "rolled back", "committed"])
def test_after_the_decision_nothing_is_begun(bench: Bench, decided: str) -> None:
    create = Driver(bench).accepted()
    if decided == "committed":
        create.apply(A, B).commit()
    else:
        if decided == "rolling back":
            create.begin(A, "a1")
        create.roll_back()
    kept = create.step(B)
    said = create.begin(B, "late").next
    assert said is (Forward.DONE if decided == "committed" else Forward.OVER)
    assert create.step(B) == kept


def test_an_unknown_operation_or_host_is_over(create: Driver) -> None:
    assert create.begin(HostName("c"), "c1").next is Forward.OVER
    create.id = OperationId("unknown")
    keys = create.bench.key_names()
    assert create.begin(A, "a1").next is Forward.OVER
    assert create.bench.key_names() == keys


def test_begin_puts_the_count_of_misses_back(create: Driver) -> None:
    create.missed(A, "p1")
    create.missed(A, "p2")
    create.begin(A, "a1")
    assert create.step(A).misses == 0
    assert create.missed(A, "p3") == Progress(Forward.MISSED, misses=1)
