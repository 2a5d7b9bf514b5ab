"""Suites that run side by side: each is shown whole and counted, and none is left when they are stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests import __main__ as suites
from tests.children import Forked
from tests.waits import eventually


def ends(passed: int, failed: int, skipped: int) -> str:
    """Code that prints what a suite that ran alone ends with."""
    outcome = suites.Outcome("one", suites.Counts(passed, failed, skipped), 2.0, 1.0)
    return (
        f"import tests.__main__; from tests.__main__ import Counts, Outcome, _report; _report([{outcome!r}])"
    )


ENDS = {
    "good": f"print('good was here'); {ends(3, 0, 1)}",
    "bad": f"{ends(2, 1, 0)}; raise SystemExit(1)",
    "broken": "raise SystemExit('broken was here')",
    "wrong": f"{ends(2, 0, 0)}; raise SystemExit(1)",
}
STOPPED = """
import os, pathlib, signal
here = pathlib.Path({here!r})
def stop(*_):
    (here / f"{{os.getpid()}}.stopped").touch()
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
(here / f"{{os.getpid()}}.runs").touch()
signal.pause()
"""


def test_each_is_shown_and_counted(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(suites, "command_for", lambda suite: [sys.executable, "-c", ENDS[suite]])
    outcomes: list[suites.Outcome] = []
    suites._run_side_by_side(list(ENDS), outcomes)
    counts = suites.Counts
    assert {each.suite: each.counts for each in outcomes} == {
        "good": counts(3, 0, 1),
        "bad": counts(2, 1, 0),
        "broken": counts(0, 1, 0),
        "wrong": counts(2, 1, 0),
    }
    said = capfdbinary.readouterr().out.decode()
    assert "running: good, bad, broken\n" in said
    assert "good was here\n\nsuite" in said
    assert "broken was here" in said


def test_a_stop_reaches_those_that_run_and_starts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", STOPPED.format(here=str(tmp_path))]
    monkeypatch.setattr(suites, "command_for", lambda suite: command)

    def run() -> str:
        suites._listen_to_signals()
        try:
            suites._run_side_by_side([*"abcde"], [])
        except suites.Terminated:
            return "terminated"
        return "not"

    child = Forked(run)
    eventually(lambda: len(list(tmp_path.glob("*.runs"))) == suites.SIDE_BY_SIDE, "all that may run do")
    os.kill(child.pid, signal.SIGTERM)
    assert child.result() == "terminated"
    assert len(list(tmp_path.glob("*.stopped"))) == len(list(tmp_path.glob("*.runs"))) == suites.SIDE_BY_SIDE
