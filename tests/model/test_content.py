"""Content in every small configuration, and each naive rule with its counterexample."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from tests.model.configurations import Configuration
from tests.model.content import ContentRules
from tests.model.content_cases import NAIVE, TESTED, Content
from tests.model.report import run

RULES = {
    field.name
    for field in dataclasses.fields(ContentRules)
    if field.default is True and field.name not in ("deadline", "people")
}


def named(configuration: Configuration) -> str:
    return configuration.name


@pytest.mark.parametrize("configuration", TESTED, ids=named)
def test_no_promise_breaks_and_the_end_stays_reachable(configuration: Configuration) -> None:
    _, result = run(configuration)
    assert result.wrong == {}
    assert result.complete
    assert result.ends


@pytest.mark.parametrize("configuration", NAIVE, ids=named)
def test_by_this_rule_a_promise_breaks(configuration: Configuration) -> None:
    _, result = run(configuration)
    assert any(name.startswith(configuration.breaks or "") for name in result.wrong)


def test_every_rule_is_switched_off_by_some_naive_one() -> None:
    models = [cast(Content, configuration.model) for configuration in NAIVE]
    assert {rule for model in models for rule in RULES if not getattr(model.rules, rule)} == RULES
