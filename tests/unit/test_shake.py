"""Shaking: what fails once among many runs is told, and kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import shake

ONCE = """
import pathlib, sys
ran = pathlib.Path({ran!r})
ran.write_text(ran.read_text() + "." if ran.exists() else ".")
if len(ran.read_text()) == 2:
    print("FAILED tests/unit/test_x.py::test_it - assert 1 == 2")
    sys.exit(1)
"""


def test_a_run_that_fails_is_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", ONCE.format(ran=str(tmp_path / "ran"))]
    monkeypatch.setattr(shake, "KEPT", tmp_path)
    monkeypatch.setattr(shake, "command_for", lambda suite: command)
    assert shake.shake(["unit"], 3) == 1
    said = capsys.readouterr().out
    assert "unit, run 2 of 3 failed: tests/unit/test_x.py::test_it; see " in said
    assert "unit: 1 of 3 runs failed" in said
    assert [path.name for path in tmp_path.glob("*.log")] == ["unit-2.log"]
