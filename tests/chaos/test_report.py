"""A run in which something was not broken, or not asked for, has shown nothing, and is called so."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain, repeat

import pytest

from tests.chaos import lanes
from tests.chaos.checker import Verdict
from tests.chaos.lanes import Schedule
from tests.chaos.nemeses import some
from tests.chaos.report import missing
from tests.chaos.run import Outcome, struck
from tests.chaos.tiers import TIERS
from tests.waits import eventually

THREADS = TIERS["quick"][0]
GOOD = Outcome(
    plan=THREADS,
    verdict=Verdict([], []),
    operations=THREADS.operations,
    rolled_back=50,
    faults=Counter({"connections cut": 1}),
    expected_faults=frozenset({"connections cut"}),
    ambiguous=100,
    late=20,
    waits=1,
    paced=1,
    strange=Counter(),
    committed_things=1,
    on_things=1,
    in_waves=1,
    pending_seen=1,
    transitions=1000,
    slowest=0.0,
    seconds=1.0,
    details="",
)


def test_nothing_is_missing_in_a_run_that_had_all() -> None:
    assert list(missing(GOOD)) == []


@pytest.mark.parametrize(
    "lacks",
    [
        {"faults": Counter[str]()},
        {"operations": THREADS.operations - 1},
        {"transitions": 10},
        {"pending_seen": 0},
        {"on_things": 0},
        {"in_waves": 0},
    ],
    ids=lambda lacks: next(iter(lacks)),
)
def test_what_a_run_lacks_is_named(lacks: dict[str, object]) -> None:
    assert len(list(missing(replace(GOOD, **lacks)))) == 1  # type: ignore[arg-type]


def test_a_nemesis_that_found_nothing_to_harm_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "AGAIN", 0.2)
    nemeses = {
        "connections cut": lambda: some(0, "connections"),
        "one byte at a time": lambda: some(7, "bytes"),
    }
    schedule = Schedule({"redis": nemeses}, 1, 2, 1, lambda: 2)
    schedule.start()
    eventually(lambda: schedule.over, "both had their turn")
    assert struck(schedule.events) == {"one byte at a time": 1}


def test_a_nemesis_that_found_nothing_to_harm_tries_again() -> None:
    found = chain([0, 0], repeat(3))
    nemeses = {"connections cut": lambda: some(next(found), "connections")}
    schedule = Schedule({"redis": nemeses}, 1, 2, 1, lambda: 2)
    schedule.start()
    eventually(lambda: schedule.over, "it had its turns")
    assert {event.detail for event in schedule.events} == {some(3, "connections")}


def test_clients_go_on_for_a_nemesis_that_found_nothing_to_harm() -> None:
    accepted = 2
    nemeses = {"late landings": lambda: some(accepted - 2, "calls")}
    schedule = Schedule({"hosts": nemeses}, 1, 2, 1, lambda: accepted)
    schedule.start()
    eventually(schedule.clients_may_go_on, "it is given something to harm")
    accepted = 3
    eventually(lambda: schedule.over, "it had its turns")
    assert not schedule.clients_may_go_on()
    assert {event.detail for event in schedule.events} == {some(1, "calls")}
