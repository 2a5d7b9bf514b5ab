"""Publishing in every small configuration, and each of its rules removed in turn."""

from __future__ import annotations

import dataclasses

import pytest

from tests.model.publishing import NAIVE, SOUND, Publishing
from tests.model.small import search


@pytest.mark.parametrize("publishing", SOUND, ids=str)
def test_what_is_due_is_published_once_and_the_end_stays_reachable(publishing: Publishing) -> None:
    found = search(publishing)
    assert found.wrong == "", found.way
    assert found.states > 1000


@pytest.mark.parametrize("name", NAIVE)
def test_without_this_rule_a_promise_breaks(name: str) -> None:
    naive, breaks = NAIVE[name]
    found = search(naive)
    assert found.wrong.startswith(breaks), found.way


def test_every_rule_is_switched_off_by_some_naive_one() -> None:
    rules = {field.name for field in dataclasses.fields(Publishing) if field.default is True}
    assert {rule for naive, _ in NAIVE.values() for rule in rules if not getattr(naive, rule)} == rules
