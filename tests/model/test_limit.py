"""The shared limit in every small configuration, and each of its rules removed in turn."""

from __future__ import annotations

import dataclasses

import pytest

from tests.model.limit import NAIVE, SOUND, Limit
from tests.model.small import search


@pytest.mark.parametrize("limit", SOUND, ids=str)
def test_no_promise_breaks_and_everybody_comes_to_an_end(limit: Limit) -> None:
    found = search(limit)
    assert found.wrong == "", found.way
    assert found.states > 1000


@pytest.mark.parametrize("name", NAIVE)
def test_without_this_rule_a_promise_breaks(name: str) -> None:
    naive, breaks = NAIVE[name]
    found = search(naive)
    assert found.wrong.startswith(breaks), found.way


def test_every_rule_is_switched_off_by_some_naive_one() -> None:
    rules = {field.name for field in dataclasses.fields(Limit) if field.default is True}
    assert {rule for naive, _ in NAIVE.values() for rule in rules if not getattr(naive, rule)} == rules
