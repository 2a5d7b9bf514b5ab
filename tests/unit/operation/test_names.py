from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import (
    MAX_LENGTH,
    is_plain_name,
    parse_group_id,
    parse_operation_id,
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
    assert show("x" * 500).endswith("… (502 characters)")
