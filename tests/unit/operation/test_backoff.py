from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.worker.operation.host import Backoff

BACKOFF = Backoff(base=0.5, cap=8.0)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (10**9, 8.0)]
)
def test_the_ceiling_doubles_up_to_the_cap(failures: int, ceiling: float) -> None:
    assert BACKOFF.ceiling(failures) == ceiling


@pytest.mark.parametrize("failures", [0, -1])
def test_a_count_below_one_counts_as_the_first(failures: int) -> None:
    assert BACKOFF.ceiling(failures) == 0.5


@given(
    base=st.floats(0.001, 100),
    cap=st.floats(0.001, 1000),
    failures=st.integers(1, 10_000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_lies_between_nothing_and_its_ceiling(
    base: float, cap: float, failures: int, jitter: float
) -> None:
    backoff = Backoff(base, cap)
    delay = backoff.delay(failures, jitter)
    assert 0 <= delay <= backoff.ceiling(failures) <= cap
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


def test_jitter_is_full() -> None:
    assert BACKOFF.delay(3, 0.0) == 0.0
    assert BACKOFF.delay(3, 0.5) == 1.0
