"""The benchmark can fail: a wrong outcome is seen, and a target that is missed is called so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.cluster import State
from benchmarks.figures import Figures, Kept
from benchmarks.plan import rollback
from benchmarks.samples import Case, Sample
from benchmarks.session import wrong_outcome
from benchmarks.targets import AFTER_RETENTION, judge

DONE = State(held=5, holding=5, calls=10, created=5, deleted=0, refused_at=None, last_undone_at=None)
UNDONE = State(held=0, holding=0, calls=13, created=4, deleted=4, refused_at=1.0, last_undone_at=2.0)
FIRST = "1000 hosts, 20 ms, against the stock chord"


def sample(peer: str, seconds: float) -> Sample:
    return Sample(peer, Case(1000), seconds, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, 0)


def verdicts(figures: Figures) -> dict[str, str]:
    return {verdict.target.work: verdict.word for verdict in judge(figures)}


def test_right_outcomes_are_not_called_wrong() -> None:
    assert wrong_outcome(Case(5), DONE, committed=True) is None
    assert wrong_outcome(rollback(5), UNDONE, committed=False) is None


@pytest.mark.parametrize(
    ("state", "committed"),
    [(DONE, False), (replace(DONE, holding=4, held=4), True), (replace(DONE, created=6, deleted=1), True)],
)
def test_a_create_that_is_not_what_it_says_is_wrong(state: State, committed: bool) -> None:
    assert wrong_outcome(Case(5), state, committed=committed) is not None


@pytest.mark.parametrize(
    ("state", "committed"),
    [(UNDONE, True), (replace(UNDONE, holding=1), False), (replace(UNDONE, refused_at=None), False)],
)
def test_a_rollback_that_is_not_what_it_says_is_wrong(state: State, committed: bool) -> None:
    assert wrong_outcome(rollback(5), state, committed=committed) is not None


@pytest.mark.parametrize(("seconds", "word"), [(1.0, "met"), (1.1, "missed")])
def test_a_target_is_met_up_to_its_limit(seconds: float, word: str) -> None:
    figures = Figures()
    figures.add(sample("stock", 10.0))
    figures.add(sample("lockstep", seconds))
    assert verdicts(figures)[FIRST] == word


def test_a_run_that_came_out_wrong_does_not_count() -> None:
    figures = Figures()
    figures.add(sample("stock", 10.0))
    figures.add(replace(sample("lockstep", 1.0), wrong="told to be committed"))
    assert verdicts(figures)[FIRST] == "not measured"


def test_one_key_left_is_a_miss() -> None:
    figures = Figures()
    kept = figures.beside.kept[AFTER_RETENTION] = Kept()
    assert verdicts(figures)["keys left after retention"] == "met"
    kept.keys["op"] += 1
    assert verdicts(figures)["keys left after retention"] == "missed"
