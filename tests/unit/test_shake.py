"""Shaking: what fails once among many runs is told, and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import pauses, shake
from tests.waits import eventually

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


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_runs_tests_is_paused_and_goes_on_and_nothing_else_is() -> None:
    with ExitStack() as stack:

        def started(*command: str) -> subprocess.Popen[bytes]:
            pipe = subprocess.PIPE
            child = stack.enter_context(subprocess.Popen([sys.executable, *command], stdin=pipe, stdout=pipe))
            stack.callback(child.communicate)
            stack.callback(child.kill)
            return child

        def state() -> str:
            return Path(f"/proc/{tests.pid}/stat").read_text().rpartition(")")[2].split()[0]

        tests, _ = started("-c", "input()", "pytest", "tests/x"), started("-c", "input()", "worker")
        eventually(lambda: pauses.testing(os.getpid()) == [tests.pid], "it is found, alone")
        pausing = started("-m", "tests.pauses", str(os.getpid()))
        eventually(lambda: state() == "T", "it is paused")
        pausing.communicate()
        eventually(lambda: state() == "S", "it goes on")
