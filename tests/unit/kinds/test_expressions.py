"""Expressions: our functions, what is refused before a file is used, and what one may cost."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from lockstep.worker.kinds import expressions
from lockstep.worker.kinds.expressions import MOST_VALUES, BadExpression, Expression, filled


@pytest.mark.parametrize(
    ("text", "scope", "value"),
    [
        ("if(a, 'yes', 'no')", {"a": []}, "no"),
        ("if(a, 'yes', 'no')", {"a": 0}, "yes"),
        ("if(a, 'yes', 'no')", {"a": True}, "yes"),
        ("if(a, 'yes', 'no')", {"a": False}, "no"),
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
        ("sum(a)", {"a": [Decimal("1.5"), 1]}, Decimal("2.5")),
        ("sort_by(a, &b)[0].b", {"a": [{"b": Decimal(2)}, {"b": Decimal(1)}]}, Decimal(1)),
        ("sort_by(a, &b)[0].b", {"a": [{"b": "y"}, {"b": "x"}]}, "x"),
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
    Expression("a" * 1000)
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


MOST = ["x"] * 20_000


@pytest.mark.parametrize(
    ("text", "scope", "more"),
    [
        ("length(a)", {"a": MOST}, {"a": [*MOST, "x"]}),
        ("a", {"a": MOST[1:]}, {"a": MOST}),
        ("concat(a, a)", {"a": "x" * (1 << 19)}, {"a": "x" * ((1 << 19) + 1)}),
        ("unbase64(a)", {"a": "w6Q="}, {"a": "w6*Q="}),
    ],
)
def test_the_most_that_it_may_cost_it_may_and_not_one_more(
    text: str, scope: dict[str, object], more: dict[str, object]
) -> None:
    Expression(text).value(scope)
    with pytest.raises(BadExpression):
        Expression(text).value(more)


def test_each_part_that_is_worked_out_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_STEPS", 3)
    Expression("a.b").value({})
    monkeypatch.setattr(expressions, "MOST_STEPS", 2)
    with pytest.raises(BadExpression, match="more than 2 steps"):
        Expression("a.b").value({})


def test_an_expression_tells_what_is_taken_of_items_and_looks_like_a_name_of_the_scope() -> None:
    assert list(Expression("items[*].given.id").lost()) == [("given", "id")]


def test_a_function_that_does_not_take_a_value_is_named() -> None:
    with pytest.raises(BadExpression) as error:
        Expression("length(a)").value({})
    took = "length() was given a value of a type that it does not take"
    assert str(error.value) == f"'length(a)' cannot be evaluated: {took}"


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
