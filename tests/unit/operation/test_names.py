from __future__ import annotations

import string
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import (
    MAX_LENGTH,
    is_plain_name,
    is_subject,
    parse_deadline,
    parse_group_id,
    parse_limit,
    parse_operation_id,
    parse_retries,
    parse_timeout,
    parse_watch,
    show,
)

PLAIN = string.ascii_letters + string.digits + "._-"
PARSERS = pytest.mark.parametrize(
    ("parse", "noun"), [(parse_group_id, "group id"), (parse_operation_id, "operation id")]
)
REFUSED = [
    ("", "is empty"),
    ("  \t", "is empty"),
    ("a" * (MAX_LENGTH + 1), "is too long: at most 128"),
    ("a b", "outside A-Z a-z 0-9 . _ -"),
    ("a/b", "outside"),
    ("a\n", "outside"),
    ("gruppe-ü", "outside"),
    ("a%2e", "outside"),
    ("a\x00", "outside"),
    (".", "path segment"),
    ("..", "path segment"),
    (7, "of type int"),
    (None, "of type NoneType"),
    (b"team", "of type bytes"),
]


@PARSERS
@given(st.text(PLAIN, min_size=1, max_size=MAX_LENGTH).filter(lambda name: name not in (".", "..")))
def test_plain_names_are_taken_as_they_are(parse: Callable[[object], str], noun: str, name: str) -> None:
    assert parse(name) == name
    assert is_plain_name(name)


@pytest.mark.parametrize(("given", "milliseconds"), [(2.5, 2500), (60, 60_000), (0.0001, 1)])
def test_a_deadline_is_kept_in_milliseconds(given: float, milliseconds: int) -> None:
    assert parse_deadline(given, 3600) == milliseconds


def test_a_name_may_be_as_long_as_is_said() -> None:
    assert is_plain_name("a" * 128)
    assert not is_plain_name("a" * 129)
    assert parse_group_id("a" * 128) == "a" * 128


def test_a_thing_has_a_longer_name_than_a_group() -> None:
    assert is_subject("a" * 128)
    assert is_subject("zone/" + "a" * 8187)
    assert not is_subject("zone/" + "a" * 8188)
    assert not is_subject("a" * 129)


@PARSERS
@pytest.mark.parametrize(("value", "rule"), REFUSED)
def test_other_values_are_refused_with_the_rule(
    parse: Callable[[object], str], noun: str, value: object, rule: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(value)
    message = str(caught.value)
    assert message.startswith(noun)
    assert rule in message
    assert "\n" not in message
    if isinstance(value, str):
        assert not is_plain_name(value)


@given(st.text())
def test_any_value_can_be_shown_in_one_short_line(value: str) -> None:
    shown = show(value)
    assert shown.isascii() or "…" in shown
    assert "\n" not in shown
    assert len(shown) <= 90


def test_a_shown_value_is_quoted_and_escaped() -> None:
    assert show("team-a") == '"team-a"'
    assert show('a"b\n') == '"a\\"b\\n"'
    assert show(7) == "7"
    assert show("x" * 58) == f'"{"x" * 58}"'
    assert show("x" * 59) == f'"{"x" * 59}… (61 characters)'


@pytest.mark.parametrize(
    ("parse", "below", "least", "most"),
    [
        (partial(parse_deadline, longest=60), 0, 0.001, 60),
        (parse_timeout, -0.001, 0, None),
        (parse_retries, -1, 0, 1_000_000),
        (parse_watch, 0, 0.001, 3600),
        (parse_limit, 0, 1, 10_000),
    ],
)
def test_a_number_may_be_as_small_and_as_large_as_it_says(
    parse: Callable[[object], object], below: float, least: float, most: int | None
) -> None:
    assert parse(least) is not None
    with pytest.raises(InvalidInput):
        parse(below)
    if most is not None:
        assert parse(most)
        with pytest.raises(InvalidInput):
            parse(most + 1)


@pytest.mark.parametrize("value", [1.5, True, "5"])
@pytest.mark.parametrize("parse", [parse_retries, parse_limit])
def test_a_count_is_a_whole_number(parse: Callable[[object], object], value: object) -> None:
    with pytest.raises(InvalidInput, match="give a whole number"):
        parse(value)


@pytest.mark.parametrize("value", [True, "5"])
@pytest.mark.parametrize("parse", [partial(parse_deadline, longest=60), parse_timeout, parse_watch])
def test_seconds_are_a_number(parse: Callable[[object], object], value: object) -> None:
    with pytest.raises(InvalidInput, match="give seconds"):
        parse(value)
