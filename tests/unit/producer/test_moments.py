"""Times as people give them, and which operations they choose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from producer.history import PAGE, Filter, search
from producer.moments import millis_of, parse_moment
from tests.unit.producer.samples import OPERATION
from worker.operation.errors import InvalidInput
from worker.operation.model import Action, GroupId, Millis, Operation, OperationId
from worker.operation.states import State

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MANY = [
    replace(OPERATION, id=OperationId(f"op{n}"), created_at=Millis(10_000 - n)) for n in range(2 * PAGE + 50)
]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T08:15", datetime(2026, 1, 30, 8, 15, tzinfo=UTC)),
        ("2026-01-30T08:15Z", datetime(2026, 1, 30, 8, 15, tzinfo=UTC)),
        ("2026-01-30T08:15+02:00", datetime(2026, 1, 30, 6, 15, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    assert parse_moment("--since", text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "2 h", "-2h", "2026-13-01", "999999w", "5"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"--since .* is no time: give 30m"):
        parse_moment("--since", text, NOW)


def test_a_moment_without_a_zone_is_refused() -> None:
    assert millis_of("since", None) is None
    assert millis_of("since", NOW) == 1_769_860_800_000
    with pytest.raises(InvalidInput, match="no time zone"):
        millis_of("since", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(group="team-*"),
        Filter(group="team-a", by="alice@*", action=Action.CREATE),
        Filter(states=frozenset({State.APPLYING, State.COMMITTED})),
        Filter(since=OPERATION.created_at),
        Filter(until=Millis(OPERATION.created_at + 1)),
    ],
)
def test_what_matches(wanted: Filter) -> None:
    assert wanted.matches(OPERATION)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(group="team"),
        Filter(group="TEAM-A"),
        Filter(by="alice"),
        Filter(action=Action.DELETE),
        Filter(states=frozenset({State.COMMITTED})),
        Filter(since=Millis(OPERATION.created_at + 1)),
        Filter(until=OPERATION.created_at),
    ],
)
def test_what_does_not_match(wanted: Filter) -> None:
    assert not wanted.matches(OPERATION)


class Record:
    """Operations, newest first, that counts how often it is read."""

    def __init__(self) -> None:
        self.kept = MANY.copy()
        self.reads = 0

    def read(self, limit: int, offset: int) -> tuple[Operation, ...]:
        self.reads += 1
        return tuple(self.kept[offset : offset + limit])


def test_a_search_reads_on_until_it_has_enough() -> None:
    record = Record()
    (found,) = search(
        record.read, Filter(since=Millis(10_000 - PAGE - 5), until=Millis(10_000 - PAGE - 4)), 1
    )
    assert (found.id, record.reads) == (f"op{PAGE + 5}", 2)
    assert len(list(search(record.read, Filter(group=GroupId("team-a")), 10_000))) == len(MANY)


def test_a_search_stops_at_since() -> None:
    record = Record()
    assert len(list(search(record.read, Filter(since=Millis(10_000 - 9)), 10_000))) == 10
    assert record.reads == 1


def test_an_operation_accepted_meanwhile_makes_none_be_told_twice() -> None:
    record = Record()
    told = search(record.read, Filter(), 10_000)
    first = next(told)
    record.kept.insert(0, replace(OPERATION, id=OperationId("new")))
    ids = [first.id, *(each.id for each in told)]
    assert len(ids) == len(set(ids)) == len(MANY)
