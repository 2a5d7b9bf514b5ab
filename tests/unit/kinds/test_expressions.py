"""Expressions: our functions, what is refused before a file is used, and what one may cost."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from lockstep.worker.kinds.expressions import MOST_VALUES, BadExpression, Expression, filled


@pytest.mark.parametrize(
    ("text", "scope", "value"),
    [
        ("if(a, 'yes', 'no')", {"a": []}, "no"),
        ("if(a, 'yes', 'no')", {"a": 0}, "yes"),
        ("select(a, 'k', b)", {"a": [{"k": 1, "v": 2}, {"k": 3}], "b": 1}, {"k": 1, "v": 2}),
        ("select(a, 'k', b)", {"a": None, "b": 1}, None),
        ("base64(a)", {"a": "ä"}, "w6Q="),
        ("unbase64(a)", {"a": "w6Q="}, "ä"),
        ("base64(a)", {}, None),
        ("concat('a', b, 'c')", {"b": "-"}, "a-c"),
        ("quote(a)", {"a": 'x"; DROP \\'}, '"x\\"; DROP \\\\"'),
        ("lower(a)", {"a": "ÄB"}, "äb"),
        ("with_end(a, '.')", {"a": "x"}, "x."),
        ("with_end(a, '.')", {"a": "x."}, "x."),
        ("over(a, b)", {"a": {"x": 1, "y": None, "z": 3}, "b": {"x": 2, "z": None}}, {"x": 2, "y": None}),
        ("without(a, ['x'])", {"a": {"x": 1, "y": 2}}, {"y": 2}),
        ("without(a, ['x'])", {"a": [1]}, [1]),
        ("a > b", {"a": Decimal("1.5"), "b": 1}, True),
        ("abs(a)", {"a": Decimal("-1.5")}, Decimal("1.5")),
        ("!(a.b)", {"a": {"b": True}}, False),
        ("a.big", {"a": {"big": 9007199254740993}}, 9007199254740993),
    ],
)
def test_a_value_is_worked_out(text: str, scope: dict[str, object], value: object) -> None:
    assert Expression(text).value(scope) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!a.b", r"write !\(a\.b\)"),
        ("b && !a.b", r"write !\(a\.b\)"),
        ("!a == b", r"write !\(a\.b\)"),
        ("a b", "no JMESPath"),
        ("f(a)", r"calls f\(\)"),
        ("a" * 1001, "longer than 1000"),
    ],
)
def test_what_does_not_mean_what_it_says_is_refused_at_load(text: str, words: str) -> None:
    with pytest.raises(BadExpression, match=words):
        Expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "[@,@][] | " * 90 + "@",
        "[@,@] | " * 60 + "@",
        "concat(a,a) | {a: @} | " * 40 + "@",
        "join('', [a,a]) | {a: @} | " * 30 + "@",
        "many[*].many2",
        "many",
    ],
)
def test_an_expression_that_costs_too_much_is_ended_at_once(text: str) -> None:
    scope = {"a": "x" * 100, "many": [{"many2": 1}] * (MOST_VALUES + 1)}
    began = time.process_time()
    with pytest.raises(BadExpression, match="more than"):
        Expression(text).value(scope)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    ["length(a)", "join(',', a)", "select(b, 'k', `1`)", "unbase64(c)", "quote(d)", "concat(a)", "a.b | e()"],
)
def test_what_cannot_be_worked_out_says_so_without_the_value(text: str) -> None:
    scope = {"a": None, "b": [{"k": 1}, {"k": 1}], "c": "hidden!", "d": "hidden\n"}
    with pytest.raises(BadExpression) as error:
        Expression(text).value(scope)
    assert "hidden" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_leaves_out_what_is_null_and_sends_null_only_if_told() -> None:
    given = {
        "a": "x",
        "b": "nothing",
        "c": "or_null(nothing)",
        "d": [1, "nothing", "'text'"],
        "e": True,
        "f": None,
    }
    assert filled(given, {"x": 1}) == {"a": 1, "c": None, "d": [1, "text"], "e": True, "f": None}
