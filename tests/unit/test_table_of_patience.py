"""The table of nodes that often fail: whoever makes it sees where it falls short."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lockstep.worker.operation.model import Decision
from tests import patience


def decided(decision: Decision | None, after: int) -> SimpleNamespace:
    return SimpleNamespace(created_at=1_000, decided_at=1_000 + after, decision=decision)


def test_a_row_in_which_not_all_commit_fails_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well = [decided(Decision.COMMIT, 500), decided(Decision.COMMIT, 1_500)]
    rows = {0: well, 50: [*well, decided(Decision.ROLL_BACK, 9_000)], 70: [decided(None, 0)]}
    monkeypatch.setattr(patience, "measure", lambda percent, _: rows[percent])
    monkeypatch.setattr(sys, "argv", ["patience", "--percent", "0", "50", "70"])
    assert patience.main() == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[2:] == [
        "| 0 % | 2 of 2 | 1.00 s | 1.50 s |",
        "| 50 % | 2 of 3 | 1.50 s | 9.00 s |",
        "| 70 % | 0 of 1 | 0.00 s | 0.00 s |",
    ]
    assert said.err == "patience: too few: at 50 % 2 of 3 committed, at 70 % 0 of 1 committed\n"

    monkeypatch.setattr(sys, "argv", ["patience", "--percent", "0"])
    assert patience.main() == 0
