"""Rules as data: what each kind takes, which calls it matches, what course it gives them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lockstep.mock_api.faults import (
    NODE_LEVEL,
    FaultKind,
    Form,
    Latency,
    Method,
    Rule,
    Script,
    explain,
    script,
)


def rule(kind: FaultKind, **fields: object) -> Rule:
    needed = {FaultKind.DELAYED: {"seconds": 2}, FaultKind.LATENCY: {"latency": 5}}.get(kind, {})
    return Rule.model_validate({"kind": kind, **needed, **fields})


def test_every_kind_has_a_shape() -> None:
    assert {type(kind.course) for kind in FaultKind} == {Script}


@pytest.mark.parametrize(
    ("kind", "course"),
    [
        (FaultKind.ERROR_BEFORE, Script(Form.STATUS, lands=False, status=500)),
        (FaultKind.ERROR_AFTER, Script(Form.STATUS, lands=True, status=500)),
        (FaultKind.HANG_BEFORE, Script(Form.STATUS, lands=False, answers_after=None, status=504)),
        (FaultKind.HANG_AFTER, Script(Form.REAL, lands=True, answers_after=None)),
        (FaultKind.RESET_BEFORE, Script(Form.RESET, lands=False)),
        (FaultKind.RESET_AFTER, Script(Form.RESET, lands=True)),
        (FaultKind.DELAYED, Script(Form.REAL, lands=True, lands_after=2, answers_after=None)),
        (FaultKind.MALFORMED, Script(Form.HTML, lands=True)),
        (FaultKind.WRONG_ID, Script(Form.WRONG_ID, lands=True)),
        (FaultKind.DRIBBLE, Script(Form.BYTES, lands=True)),
        (FaultKind.IGNORE, Script(Form.REAL, lands=True)),
        (FaultKind.REWRITE, Script(Form.REAL, lands=True)),
        (FaultKind.REFUSE, Script(Form.STATUS, lands=False, status=403)),
        (FaultKind.THROTTLE, Script(Form.STATUS, lands=False, status=429)),
        (FaultKind.REDIRECT, Script(Form.STATUS, lands=False, status=307)),
        (FaultKind.ANSWER, Script(Form.STATUS, lands=False, status=200)),
    ],
)
def test_a_kind_decides_whether_and_when_a_call_lands_and_is_answered(
    kind: FaultKind, course: Script
) -> None:
    assert script(rule(kind)) == course


def test_parameters_bend_the_course() -> None:
    assert script(rule(FaultKind.HANG_AFTER, seconds=3)).answers_after == 3
    assert script(rule(FaultKind.DELAYED, answers=True)).answers_after == 0
    assert script(rule(FaultKind.DRIBBLE, seconds=4)).pause == 4
    assert script(rule(FaultKind.ERROR_AFTER, status=502)).status == 502
    assert script(None) == Script(Form.REAL, lands=True, lands_after=0, answers_after=0)


@pytest.mark.parametrize("kind", [FaultKind.DELAYED, FaultKind.REFUSE])
def test_a_rule_about_writes_leaves_reads_alone_unless_told(kind: FaultKind) -> None:
    assert rule(kind).matches(Method.POST, "a")
    assert not rule(kind).matches(Method.GET, "a")
    assert rule(kind, methods=["GET"]).matches(Method.GET, "a")


def test_group_filter_is_exact_or_a_prefix() -> None:
    exact, prefix = rule(FaultKind.ERROR_AFTER, group="team-a"), rule(FaultKind.ERROR_AFTER, group="team-*")
    assert exact.matches(Method.GET, "team-a")
    assert not exact.matches(Method.GET, "team-ab")
    assert prefix.matches(Method.GET, "team-b")
    assert not prefix.matches(Method.GET, "tea")
    assert not prefix.matches(Method.POST, None)
    assert rule(FaultKind.ERROR_AFTER).matches(Method.POST, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "eror"}, "kind is \"eror\"; must be 'error_before'"),
        ({}, '"kind" is missing from {}; kinds: error_before'),
        ({"kind": "refuse", "often": 1}, '"often" is not known; the fields of a rule: kind'),
        ({"kind": "refuse", "probability": 2}, "probability is 2; must be less than or equal to 1"),
        ({"kind": "refuse", "seconds": 2}, '"seconds" does not go with refuse; it takes after'),
        ({"kind": "down", "times": 2}, '"times" does not go with down; it takes kind, node, seconds'),
        ({"kind": "delayed"}, 'delayed needs "seconds"'),
        ({"kind": "latency"}, 'latency needs "latency"'),
        ({"kind": "latency", "latency": {"uniform": [9, 1]}}, "from the smaller to the larger"),
        ({"kind": "latency", "latency": {"choices": [[0.9, 1], [0.2, 5]]}}, "make up 1 at most"),
        ({"kind": "latency", "latency": {}}, "one of fixed, uniform, choices; got none"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_in_one_line(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate(given)
    line = explain(caught.value.errors()[0])
    assert said in line
    assert "\n" not in line


def test_rules_about_the_whole_node_are_named() -> None:
    assert {FaultKind.DOWN, FaultKind.LATENCY} == NODE_LEVEL


@pytest.mark.parametrize(
    ("latency", "draw", "seconds"),
    [
        (20, 0.7, 0.02),
        ({"uniform": [10, 30]}, 0.0, 0.01),
        ({"uniform": [10, 30]}, 0.5, 0.02),
        ({"choices": [[0.9, 10], [0.05, 800]]}, 0.89, 0.01),
        ({"choices": [[0.9, 10], [0.05, 800]]}, 0.91, 0.8),
        ({"choices": [[0.9, 10], [0.05, 800]]}, 0.96, 0.0),
    ],
)
def test_a_draw_becomes_a_latency(latency: object, draw: float, seconds: float) -> None:
    assert Latency.model_validate(latency).seconds(draw) == pytest.approx(seconds)
