"""What fuzzing finds is kept, and is the first thing that the next run tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fuzz.__main__ import rounds_of

PLANTED = """
from hypothesis import given, strategies
from tests.unit.fuzz.test_fuzz import fuzz

@fuzz
@given(number=strategies.integers(0, 1 << 40))
def test_no_number_is_odd_in_this_way(number):
    with open({tried!r}, "a") as file:
        print(number, file=file)
    assert number % 97 != 5
"""


def test_what_was_found_is_kept_and_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, planted = tmp_path / "tried", tmp_path / "test_planted.py"
    planted.write_text(PLANTED.format(tried=str(tried)), "utf-8")
    monkeypatch.setenv("FUZZ_CORPUS", str(tmp_path / "corpus"))
    monkeypatch.setenv("CI", "true")
    assert rounds_of(str(planted), 1) == 1
    assert tried.read_text("utf-8").split()[0] == "0", "nothing was kept yet"
    tried.unlink()
    assert rounds_of(str(planted), 1) == 1
    assert int(tried.read_text("utf-8").split()[0]) % 97 == 5
