"""Numbers and durations read as a person would say them."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.names import counted


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
