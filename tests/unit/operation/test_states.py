from __future__ import annotations

import itertools

import pytest

from lockstep.worker.operation.model import State
from tests.twin.record import allowed

ALLOWED = {
    "applying -> committed",
    "applying -> rolling_back",
    "rolling_back -> rolled_back",
    "rolling_back -> abandoned",
}
PAIRS = list(itertools.product(State, State))


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=[f"{old} -> {new}" for old, new in PAIRS])
def test_every_pair_of_states_is_allowed_or_forbidden(old: State, new: State) -> None:
    assert allowed(old, new) == (f"{old} -> {new}" in ALLOWED)


def test_the_table_names_states_that_exist() -> None:
    known = {f"{old} -> {new}" for old, new in PAIRS}
    assert known >= ALLOWED
