"""Rules for timeouts, deadlines and free text; test_input.py has their messages."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import NOTE_LENGTH, parse_deadline, parse_note, parse_timeout, whoami


@given(st.text())
def test_a_note_that_is_kept_is_one_printable_line(text: str) -> None:
    if text.strip().isprintable() and 1 <= len(text.strip()) <= NOTE_LENGTH:
        assert parse_note("reason", text) == text.strip()
    else:
        with pytest.raises(InvalidInput) as caught:
            parse_note("reason", text)
        assert str(caught.value).isprintable()


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_deadline_is_milliseconds_above_zero_or_refused(value: float) -> None:
    if math.isfinite(value) and 0 < value <= 100:
        assert parse_deadline(value, 100) == max(1, round(value * 1000))
    else:
        with pytest.raises(InvalidInput):
            parse_deadline(value, 100)


def test_no_timeout_is_for_ever() -> None:
    assert parse_timeout(None) == math.inf
    assert parse_timeout(0) == 0


def test_an_unnamed_user_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unnamed() -> str:
        raise OSError("no such uid")

    monkeypatch.setattr("getpass.getuser", unnamed)
    monkeypatch.setattr("socket.gethostname", lambda: "pod-1\n")
    assert whoami() == f"uid-{os.getuid()}@pod-1?"
    assert parse_note("created_by", whoami())


def test_a_note_may_be_as_long_as_is_said() -> None:
    assert parse_note("reason", "x" * 200) == "x" * 200
    with pytest.raises(InvalidInput, match="at most 200 characters"):
        parse_note("reason", "x" * 201)
