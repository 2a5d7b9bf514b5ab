from __future__ import annotations

import pytest

from lockstep.worker.operation.drift import Drift, End, explains, next_patrol
from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence

WINDOW = 1_800_000
EVERY, LONGEST = 60_000, 3_600_000
NOW = Millis(100_000_000)


def drift(left: Presence, found: Presence) -> Drift:
    return Drift(GroupId("g"), HostName("a"), End(left, OperationId("one"), Millis(5), "url"), found, NOW)


def test_an_end_reads_as_it_stands_in_the_record() -> None:
    assert End(Presence.PRESENT, OperationId("one"), Millis(1_700), "url").text == "present one 1700 url"


@pytest.mark.parametrize(
    "other",
    [
        End(Presence.ABSENT, OperationId("one"), Millis(5), "url"),
        End(Presence.PRESENT, OperationId("two"), Millis(5), "url"),
        End(Presence.PRESENT, OperationId("one"), Millis(6), "url"),
        End(Presence.PRESENT, OperationId("one"), Millis(5), "another"),
    ],
)
def test_ends_that_differ_in_anything_have_different_texts(other: End) -> None:
    assert End(Presence.PRESENT, OperationId("one"), Millis(5), "url").text != other.text


def test_drift_is_unexplained_unless_somebody_says_otherwise() -> None:
    end = End(Presence.PRESENT, OperationId("one"), Millis(5), "url")
    about = GroupId("g"), HostName("a")
    assert end.drift(*about, Presence.PRESENT, NOW) is None
    assert end.drift(*about, Presence.ABSENT, NOW) == drift(Presence.PRESENT, Presence.ABSENT)
    explained = end.drift(*about, Presence.ABSENT, NOW, explained=True)
    assert explained is not None
    assert explained.explained


def test_a_group_that_is_missing_is_created_again() -> None:
    assert drift(Presence.PRESENT, Presence.ABSENT).remedy is Action.CREATE


def test_a_group_that_should_not_be_there_is_deleted() -> None:
    assert drift(Presence.ABSENT, Presence.PRESENT).remedy is Action.DELETE


def test_drift_is_unexplained_unless_said_otherwise() -> None:
    assert drift(Presence.ABSENT, Presence.PRESENT).explained is False


@pytest.mark.parametrize(
    ("age", "explained"),
    [
        (None, False),
        (0, True),
        (WINDOW, True),
        (WINDOW + 1, False),
    ],
)
def test_only_a_recent_write_of_unknown_fate_explains_drift(age: int | None, explained: bool) -> None:
    suspected = None if age is None else Millis(NOW - age)
    assert explains(suspected, NOW, WINDOW) is explained


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (0, EVERY),
        (4 * EVERY, EVERY),
        (4 * EVERY + 4, EVERY + 1),
        (4 * LONGEST - 4, LONGEST - 1),
        (4 * LONGEST, LONGEST),
        (24 * LONGEST, LONGEST),
    ],
)
def test_a_group_is_looked_at_less_often_as_its_suspicion_ages(age: int, wait: int) -> None:
    assert next_patrol(Millis(NOW - age), NOW, EVERY, LONGEST) == NOW + wait
