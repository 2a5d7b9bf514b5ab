"""Sizes of waves as people write them."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.waves import by_size

THREE = [HostName(name) for name in "abc"]


@pytest.mark.parametrize(
    ("hosts", "text", "waves"),
    [
        (3, "1,10%,100%", [1, 1, 1]),
        (300, "1,10%,100%", [1, 30, 269]),
        (100, "58%", [58, 42]),
        (5, "2", [2, 2, 1]),
        (4, "100%", [4]),
    ],
)
def test_sizes_are_of_all_hosts_and_the_last_repeats(hosts: int, text: str, waves: list[int]) -> None:
    names = [HostName(f"n{number}") for number in range(hosts)]
    found = by_size(names, text)
    assert list(found) == names
    assert [list(found.values()).count(number + 1) for number in range(max(found.values()))] == waves


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1,,2", "-1", "1.5", "many", "1" * 10, None, 3])
def test_sizes_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="wave"):
        by_size(THREE, text)


def test_more_waves_than_anybody_can_watch_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 100 waves"):
        by_size([HostName(f"n{number}") for number in range(101)], "1")
