"""Times as people read them."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.host import age, local
from lockstep.worker.operation.model import Millis
from tests.unit.zones import zone

NOW = Millis(1_700_000_000_000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UTC", "2023-11-14 22:13:20 UTC"),
        ("Europe/Berlin", "2023-11-14 23:13:20 CET"),
        ("Asia/Kolkata", "2023-11-15 03:43:20 IST"),
    ],
)
def test_a_time_is_told_in_the_local_zone(name: str, text: str) -> None:
    with zone(name):
        assert local(NOW) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (0, "just now"),
        (999, "just now"),
        (1000, "1 s ago"),
        (59_999, "59 s ago"),
        (4 * 60_000 + 59_000, "4 min ago"),
        (3 * 3_600_000, "3 h ago"),
        (47 * 3_600_000, "47 h ago"),
        (49 * 3_600_000, "2 days ago"),
        (-40_000, "in 40 s"),
        (-90_000, "in 1 min"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(before: int, text: str) -> None:
    assert age(Millis(NOW - before), NOW) == text
