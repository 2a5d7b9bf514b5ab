"""Times as people give them, and which operations they choose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockstep.producer.operators.history import PAGE, Filter, search
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import Action, GroupId, Millis, OperationId, State, Status
from lockstep.worker.operation.names import millis_of, parse_moment
from lockstep.worker.record.link import OperationBrief
from tests.unit.producer.samples import OPERATION
from tests.unit.zones import zone

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MANY = [
    replace(OPERATION, id=OperationId(f"op{n}"), created_at=Millis(10_000 - n)) for n in range(PAGE + 500)
]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-01-30", datetime(2026, 1, 29, 23, tzinfo=UTC)),
        ("2026-01-30T08:15", datetime(2026, 1, 30, 7, 15, tzinfo=UTC)),
        ("2026-07-30T08:15", datetime(2026, 7, 30, 6, 15, tzinfo=UTC)),
        ("2026-01-30 08:15:00 CET", datetime(2026, 1, 30, 7, 15, tzinfo=UTC)),
        ("2026-07-30 08:15:00 CEST", datetime(2026, 7, 30, 6, 15, tzinfo=UTC)),
        ("2026-01-30 08:15:00 UTC", datetime(2026, 1, 30, 8, 15, tzinfo=UTC)),
        ("2026-01-30T08:15Z", datetime(2026, 1, 30, 8, 15, tzinfo=UTC)),
        ("2026-01-30T08:15+02:00", datetime(2026, 1, 30, 6, 15, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_it_is_written(text: str, moment: datetime) -> None:
    with zone("Europe/Berlin"):
        assert parse_moment("--since", text, NOW) == moment


def test_a_time_is_taken_as_it_is_shown() -> None:
    for name in ("Europe/Berlin", "America/New_York", "UTC"):
        with zone(name):
            for at in (Millis(1_769_860_800_000), Millis(1_785_500_100_000)):
                assert millis_of("since", parse_moment("--since", local(at), NOW)) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2 h",
        "-2h",
        "2026-13-01",
        "999999w",
        "5",
        "2026-01-30 08:15:00 XYZ",
        "2026-01-30T08:15Z UTC UTC",
    ],
)
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
def test_a_filter_takes_what_meets_all_of_it(wanted: Filter) -> None:
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


class Kept:
    """Operations, newest first, that counts how often it is read."""

    def __init__(self) -> None:
        self.kept = MANY.copy()
        self.pages = 0
        self.whole = 0

    def briefs(
        self, since: Millis | None, until: Millis | None, limit: int, offset: int
    ) -> list[OperationBrief]:
        self.pages += 1
        between = [each for each in self.kept if (since or 0) <= each.created_at < (until or 20_000)]
        return [
            OperationBrief(each.id, each.group, each.created_by, each.action, each.state, each.created_at)
            for each in between[offset : offset + limit]
        ]

    def readable(self, operation: OperationId) -> Status | None:
        self.whole += 1
        return next((each for each in self.kept if each.id == operation), None)


def test_a_rare_match_is_found_among_many_and_only_it_is_read() -> None:
    kept = Kept()
    kept.kept[-1] = replace(kept.kept[-1], group=GroupId("rare"))
    (found,) = search(kept.briefs, kept.readable, Filter(group="ra*"), 1)
    assert (found, kept.whole) == (kept.kept[-1], 1)
    assert kept.pages == 3


def test_a_search_reads_no_further_than_it_needs() -> None:
    kept = Kept()
    assert [each.id for each in search(kept.briefs, kept.readable, Filter(), 3)] == ["op0", "op1", "op2"]
    assert (kept.pages, kept.whole) == (1, 3)
    assert len(list(search(kept.briefs, kept.readable, Filter(group=GroupId("team-a")), 10_000))) == len(MANY)


def test_since_and_until_are_left_to_the_record() -> None:
    kept = Kept()
    wanted = Filter(since=Millis(10_000 - 9), until=Millis(10_000 - 4))
    assert [each.id for each in search(kept.briefs, kept.readable, wanted, 10_000)] == [
        "op5",
        "op6",
        "op7",
        "op8",
        "op9",
    ]


def test_what_changes_or_goes_while_it_is_searched_is_left_out() -> None:
    kept = Kept()
    told = search(kept.briefs, kept.readable, Filter(states=frozenset({State.APPLYING})), 10_000)
    next(told)
    kept.kept[1] = replace(kept.kept[1], state=State.COMMITTED)
    del kept.kept[2]
    assert next(told).id == "op3"


def test_an_operation_accepted_meanwhile_makes_none_be_told_twice() -> None:
    kept = Kept()
    told = search(kept.briefs, kept.readable, Filter(), 10_000)
    first = next(told)
    kept.kept.insert(0, replace(OPERATION, id=OperationId("new"), created_at=Millis(10_001)))
    ids = [first.id, *(each.id for each in told)]
    assert len(ids) == len(set(ids)) == len(MANY)
