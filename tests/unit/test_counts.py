"""What a worker counts, and what Prometheus reads of its counts and of the record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.endpoint import GAUGES, RecordCollector
from lockstep.worker.monitoring.metrics import METERS, Work, count, operation_seen, took
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Decision, Millis, State
from tests.unit.producer.samples import OPERATION

Counted = list[tuple[Any, ...]]


@dataclass
class Meter:
    """A counter or a histogram that notes what it is told."""

    found: Counted
    name: str
    under: tuple[str, ...] = ()

    def labels(self, *labels: str) -> Meter:
        return Meter(self.found, self.name, labels)

    def inc(self, by: float) -> None:
        self.found.append((self.name, *self.under, by))

    observe = inc


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    found: Counted = []
    monkeypatch.setattr(metrics, "_counting", {name: Meter(found, name) for name in METERS})
    return found


def test_a_count_goes_up_by_one_or_by_what_it_is_told(counted: Counted) -> None:
    count("sweeps")
    count("steps", "settle", "applied")
    count("call_bytes", "sent", by=0.5)
    took("call_seconds", 0.25, "create")
    assert counted == [
        ("sweeps", 1),
        ("steps", "settle", "applied", 1),
        ("call_bytes", "sent", 0.5),
        ("call_seconds", "create", 0.25),
    ]


def test_without_a_port_nothing_is_counted_and_a_name_that_nobody_knows_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_counting", {})
    count("sweeps")
    took("call_seconds", 0.25, "create")
    with pytest.raises(AssertionError, match="swept"):
        count("swept")


LASTED = replace(OPERATION, created_at=Millis(1000), decided_at=Millis(2500))
UNDONE = replace(LASTED, decision=Decision.ROLL_BACK)
ROLLED_BACK = replace(UNDONE, state=State.ROLLED_BACK, ended=True, ended_at=Millis(4000))
ENDED = ("operations", "create", "rolled_back", 1)


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (OPERATION, []),
        (UNDONE, [("rollbacks", "create", 1)]),
        (
            ROLLED_BACK,
            [("rollbacks", "create", 1), ENDED, ("operation_seconds", "create", "rolled_back", 3.0)],
        ),
        (replace(ROLLED_BACK, decision=None, decided_at=None), [ENDED]),
        (
            replace(LASTED, state=State.COMMITTED, settling=True, decision=Decision.COMMIT),
            [("operations", "create", "committed", 1), ("operation_seconds", "create", "committed", 1.5)],
        ),
    ],
    ids=["going on", "being undone", "undone", "never decided", "committed, and settling"],
)
def test_an_operation_is_counted_when_it_is_decided_and_when_it_ends(
    counted: Counted, operation: Any, what: Counted
) -> None:
    asked: list[tuple[str, str]] = []

    def first(of: str, event: str) -> bool:
        asked.append((of, event))
        return True

    operation_seen(operation, first)
    assert counted == what
    events = [{"rollbacks": "undone", "operations": "counted"}.get(name) for name, *_ in what]
    assert asked == [(operation.id, event) for event in events if event]
    counted.clear()
    operation_seen(operation, lambda *_: False)
    assert counted == [], "another worker has counted it"


def test_who_does_not_count_asks_nobody_whether_it_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_counting", {})
    operation_seen(ROLLED_BACK, lambda *_: pytest.fail("asked"))


def test_of_a_time_in_which_it_was_frozen_a_process_lives_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    work = Work()
    for looks, lived in ((107.0, 7.0), (3600.0, 17.0), (3610.0, 27.0)):
        now = looks
        work.look()
        assert work.now == lived


class Records:
    """What a record tells of itself."""

    def __init__(self, told: dict[str, Any] | None) -> None:
        self.told = told

    def read(self) -> dict[str, Any]:
        if self.told is None:
            raise StoreUnavailable("away")
        return self.told

    def shown(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for family in RecordCollector(self.read).collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value


def test_each_figure_of_the_record_is_shown_under_its_label() -> None:
    told = {name: {"a": n, "b": 0.5} if label else n for n, (name, (_, label)) in enumerate(GAUGES.items())}
    shown: list[tuple[str, dict[str, str], float]] = [("lockstep_record_up", {}, 1)]
    for n, (name, (_, label)) in enumerate(GAUGES.items()):
        if label:
            shown += [(f"lockstep_{name}", {label: "a"}, n), (f"lockstep_{name}", {label: "b"}, 0.5)]
        else:
            shown.append((f"lockstep_{name}", {}, n))
    assert list(Records(told).shown()) == shown


def test_of_what_the_record_does_not_tell_there_is_none() -> None:
    none: list[tuple[str, dict[str, str], float]]
    none = [(f"lockstep_{name}", {}, 0) for name, (_, label) in GAUGES.items() if not label]
    assert list(Records({}).shown()) == [("lockstep_record_up", {}, 1), *none]
    assert list(Records(None).shown()) == [("lockstep_record_up", {}, 0)]
    told = {family.name: family.documentation for family in RecordCollector(dict).collect()}
    assert told["lockstep_drift"] == GAUGES["drift"][0]


def test_a_worker_counts_with_what_its_port_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Counted = []
    monkeypatch.setattr(metrics, "_counting", {})
    metrics.count_with(SimpleNamespace(meters={"sweeps": Meter(found, "sweeps")}))  # type: ignore[arg-type]
    count("sweeps")
    assert found == [("sweeps", 1)]


def test_the_piece_that_goes_on_longest_is_named_however_late_it_began() -> None:
    work = Work()
    work.now = 1000.0
    with work.going_on("the second by name"):
        work.now = 1010.0
        with work.going_on("a first by name"):
            for work.now in (1090.0, 1180.0):
                work.moves()
                assert work.trouble(90.0) is None
            work.now = 1181.0
            assert work.trouble(90.0) == "the second by name has gone on for 181 s"
            work.now = 1271.0
            assert work.trouble(90.0) == (
                "the second by name, the first of 2 at work, has got no further for 91 s"
            )
    assert work.idle


def test_a_child_has_none_of_its_parents_work() -> None:
    work = Work()
    with work.going_on("a step"):
        if not (child := os.fork()):
            os._exit(0 if work.idle else 1)
        assert os.waitpid(child, 0)[1] == 0
