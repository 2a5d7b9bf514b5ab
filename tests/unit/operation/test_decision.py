"""What comes next, for every combination of outcomes on three hosts."""

from __future__ import annotations

import itertools

import pytest

from lockstep.worker.operation.decision import Move, Tally, may_end, next_move, why_failed, why_roll_back
from lockstep.worker.operation.model import Decision, HostName, Millis, Outcome

DEADLINE = Millis(1_000)
OUTCOMES = list(itertools.product([None, *Outcome], repeat=3))


def tally(
    decision: Decision | None = None,
    *,
    ended: bool = False,
    todo: int = 0,
    failed: int = 0,
    undo: int = 0,
    opened: int = 0,
    now: int = 0,
    reason: str | None = None,
) -> Tally:
    return Tally(decision, ended, todo, failed, undo, opened, Millis(now), DEADLINE, reason)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("outcomes", OUTCOMES, ids=lambda each: "-".join(str(one) for one in each))
def test_three_hosts_undecided(outcomes: tuple[Outcome | None, ...], late: bool) -> None:
    todo = outcomes.count(None)
    failed = sum(each is not None and not each.succeeded for each in outcomes)
    if all(each in (Outcome.APPLIED, Outcome.UNCHANGED) for each in outcomes):
        expected = Move.COMMIT  # even past the deadline: every host is as asked
    elif failed or late:
        expected = Move.ROLL_BACK
    else:
        expected = Move.FORWARD
    for opened in range(4):
        now = DEADLINE if late else DEADLINE - 1
        it = tally(todo=todo, failed=failed, undo=3 - todo, opened=opened, now=now)
        assert next_move(it) is expected
        assert not may_end(it)


@pytest.mark.parametrize("undo", range(4))
@pytest.mark.parametrize("opened", range(4))
@pytest.mark.parametrize("todo", range(4))
def test_three_hosts_rolling_back(undo: int, opened: int, todo: int) -> None:
    it = tally(Decision.ROLL_BACK, undo=undo, opened=opened, todo=todo, failed=1, now=2_000)
    expected = Move.UNDO if undo else Move.SETTLE if opened else Move.NOTHING
    assert next_move(it) is expected
    assert may_end(it) == (not undo and not opened)


@pytest.mark.parametrize("opened", range(4))
@pytest.mark.parametrize("undo", range(4))
def test_three_hosts_committed(opened: int, undo: int) -> None:
    it = tally(Decision.COMMIT, undo=undo, opened=opened)
    assert next_move(it) is (Move.SETTLE if opened else Move.NOTHING), "what a commit touched is not undone"
    assert may_end(it) == (not opened)


@pytest.mark.parametrize("decision", [None, *Decision])
def test_nothing_comes_after_the_end(decision: Decision | None) -> None:
    assert next_move(tally(decision, ended=True, todo=2, failed=1, undo=1, opened=1)) is Move.NOTHING


def test_the_deadline_is_the_first_moment_that_is_too_late() -> None:
    assert next_move(tally(todo=1, now=DEADLINE - 1)) is Move.FORWARD
    assert next_move(tally(todo=1, now=DEADLINE)) is Move.ROLL_BACK


def test_the_reason_is_the_first_failure_or_else_the_deadline() -> None:
    assert why_roll_back(tally(failed=1, reason="a refused (403)")) == "a refused (403)"
    assert why_roll_back(tally(todo=1, now=2_000)) == "the deadline passed"


def test_which_outcomes_are_successes() -> None:
    assert {each for each in Outcome if each.succeeded} == {Outcome.APPLIED, Outcome.UNCHANGED}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("refused (403)", "node4 refused (403)"),
        ("misdirected (302)", "node4 misdirected (302)"),
        ("GET 503", "node4: GET 503"),
        ("all 5 writes spent (500)", "node4: all 5 writes spent (500)"),
        ("this worker's inventory lacks the host", "node4: this worker's inventory lacks the host"),
    ],
)
def test_why_a_host_fails_an_operation_reads_as_a_sentence(reason: str, told: str) -> None:
    assert why_failed(HostName("node4"), reason) == told
