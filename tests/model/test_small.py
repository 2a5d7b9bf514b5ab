"""The limit and the publishing in every small configuration, and each of their rules removed in turn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.model import limit, publication
from tests.model.limit import Limit
from tests.model.publication import Publishing
from tests.model.small import search

NAIVE = {f"{of.__name__}: {name}": each for of in (limit, publication) for name, each in of.NAIVE.items()}


@pytest.mark.parametrize("sound", [*limit.SOUND, *publication.SOUND], ids=str)
def test_no_promise_breaks_and_the_end_stays_reachable(sound: Any) -> None:
    found = search(sound)
    assert found.wrong == "", found.way
    assert found.states > 1000


@pytest.mark.parametrize("name", NAIVE)
def test_without_this_rule_a_promise_breaks(name: str) -> None:
    naive, breaks = NAIVE[name]
    found = search(naive)
    assert found.wrong.startswith(breaks), found.way


@pytest.mark.parametrize(("of", "naive"), [(Limit, limit.NAIVE), (Publishing, publication.NAIVE)])
def test_every_rule_is_switched_off_by_some_naive_one(
    of: type[Limit | Publishing], naive: dict[str, tuple[Limit | Publishing, str]]
) -> None:
    rules = {field.name for field in dataclasses.fields(of) if field.default is True}
    assert {rule for each, _ in naive.values() for rule in rules if not getattr(each, rule)} == rules
