"""Numbers and durations read as a person would say them."""

from __future__ import annotations

import re

import pytest

from lockstep.worker.operation.names import counted, headers_for, named, new_id, seconds, subject


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (counted(1), "1 host"),
        (counted(0), "0 hosts"),
        (counted(1, "group"), "1 group"),
        (counted(3, "group"), "3 groups"),
    ],
)
def test_one_thing_is_no_plural(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (999, "999 ms"),
        (1_000, "1 s"),
        (2_549, "2.5 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min"),
        (70_000, "1 min 10 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h"),
        (3_659_999, "1 h"),
        (3_660_000, "1 h 1 min"),
        (7_199_999, "1 h 59 min"),
        (7_260_000, "2 h 1 min"),
        (86_400_000, "24 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(milliseconds: int, told: str) -> None:
    assert seconds(milliseconds) == told


@pytest.mark.parametrize(
    ("hosts", "told"),
    [("abcd", "a, b, c, d"), ("abcde", "a, b, c, d, e"), ("abcdef", "a, b, c, d, e and 1 more")],
)
def test_five_hosts_are_named_and_the_others_are_counted(hosts: str, told: str) -> None:
    assert named(list(hosts)) == told


def test_a_thing_is_called_by_its_name_alone() -> None:
    assert (subject("team-a"), subject("zone/example.org")) == ('group "team-a"', "zone/example.org")


def test_an_operation_is_found_by_its_id() -> None:
    assert re.fullmatch("[0-9a-f]{12}", new_id())
    assert headers_for(("7f3c", "team-a", "node3"))["root_id"] == "7f3c"
