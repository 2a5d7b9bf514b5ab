"""The benchmark can fail: a wrong outcome is seen, and a target that is missed is called so."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.__main__ import EXTRAS
from benchmarks.cluster import State
from benchmarks.figures import Figures, Kept
from benchmarks.peers import NAMES
from benchmarks.plan import far, only, rollback, visits
from benchmarks.plot import COLOURS, plot
from benchmarks.samples import Case, Sample
from benchmarks.session import wrong_outcome
from benchmarks.targets import AFTER_RETENTION, TARGETS, judge, needed
from tests.walk import ROOT

DONE = State(held=5, holding=5, calls=10, created=5, deleted=0, refused_at=None, last_undone_at=None)
UNDONE = State(held=0, holding=0, calls=13, created=4, deleted=4, refused_at=1.0, last_undone_at=2.0)
FIRST = "1000 hosts, 20 ms, against the stock chord"


def sample(peer: str, seconds: float) -> Sample:
    return Sample(peer, Case(1000), seconds, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, 0)


def verdicts(figures: Figures) -> dict[str, str]:
    return {verdict.target.work: verdict.word for verdict in judge(figures)}


def test_one_row_alone_can_be_drawn() -> None:
    figures = Figures()
    figures.add(sample("lockstep", 0.9))
    assert "Lockstep" in plot(figures)


def test_each_candidate_has_a_colour_of_its_own() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == len(NAMES)


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


def test_every_row_is_measured_by_a_whole_run() -> None:
    cases, extras = needed(TARGETS)
    assert cases <= {(visit.peer, case) for visit in visits() for case in visit.cases}
    assert extras <= set(EXTRAS)
    assert len({target.name for target in TARGETS} | set(EXTRAS)) == len(TARGETS) + len(EXTRAS)


def test_a_row_by_itself_runs_what_it_needs_and_nothing_else() -> None:
    (far_away,) = (target for target in TARGETS if target.name == "redis-10ms-5")
    planned = list(only(visits(), needed([far_away])[0]))
    assert {(visit.peer, visit.cases, visit.away) for visit in planned} == {
        (peer, (far(5, 10),), 10) for peer in ("stock", "lockstep")
    }


def test_what_was_built_since_is_judged_by_pairs() -> None:
    def word(*pairs: tuple[int, int]) -> str:
        figures = Figures()
        runs = [[replace(sample("lockstep", 1), commands=each) for each in pair] for pair in pairs]
        figures.beside.earlier["lockstep", 1000] = [(then, now) for then, now in runs]
        return next(each.word for each in judge(figures) if each.target.name == "earlier-commands")

    assert word((100, 102), (200, 250), (100, 90)) == "met"
    assert word((100, 103), (200, 250), (100, 90)) == "missed"
    assert word((0, 103)) == "not measured"


def test_a_target_can_be_a_least() -> None:
    figures = Figures()
    figures.beside.throughput = {"stock": [10.0], "lockstep": [30.0]}
    (small,) = (verdict for verdict in judge(figures) if verdict.target.name == "small")
    assert (small.measured, small.word, small.target.wanted) == (3.0, "met", "at least 3")
    figures.beside.throughput["lockstep"] = [29.0]
    assert next(verdict.word for verdict in judge(figures) if verdict.target.name == "small") == "missed"


def test_the_page_says_what_bounds_each_row_that_was_missed() -> None:
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    missed = re.findall(r"^\| .* \| at (?:most|least) (\S+) \| (\S+) \| missed \|$", page, re.MULTILINE)
    bounds = page.partition("\n| missed | what bounds it | what was tried |\n")[2].partition("\n\n")[0]
    told = re.findall(r"([\d.]+) of ([\d.]+)", " ".join(re.findall(r"^\| (.*?) \|", bounds, re.MULTILINE)))
    assert sorted((float(limit), float(measured)) for limit, measured in missed) == sorted(
        (float(limit), float(measured)) for measured, limit in told
    )
