"""The table of nodes that often fail: whoever makes it sees where it falls short."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lockstep.worker.operation.model import Decision
from tests import patience

DEADLINE = 10_000


def decided(decision: Decision | None, after: int | None) -> SimpleNamespace:
    """An operation that was decided so many ms after its acceptance."""
    decided_at = None if after is None else 1_000 + after
    return SimpleNamespace(
        created_at=1_000, decided_at=decided_at, decision=decision, deadline_at=1_000 + DEADLINE
    )


def test_a_row_in_which_not_all_commit_or_one_is_decided_late_fails_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well = [decided(Decision.COMMIT, 500), decided(Decision.COMMIT, 1_500)]
    late, in_time = (decided(Decision.COMMIT, DEADLINE + over) for over in (1, 0))
    rows = {
        0: well,
        30: [late, in_time],
        50: [*well, decided(Decision.ROLL_BACK, 9_000)],
        70: [decided(None, None)],
        80: [in_time],
    }
    monkeypatch.setattr(patience, "measure", lambda percent, _: rows[percent])
    monkeypatch.setattr(sys, "argv", ["patience", "--percent", "0", "30", "50", "70"])
    assert patience.main() == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[2:] == [
        "| 0 % | 2 of 2 | 1.00 s | 1.50 s |",
        "| 30 % | 2 of 2 | 10.00 s | 10.00 s |",
        "| 50 % | 2 of 3 | 1.50 s | 9.00 s |",
        "| 70 % | 0 of 1 | 0.00 s | 0.00 s |",
    ]
    assert said.err == (
        "patience: falls short: at 30 % 1 of 2 decided after the deadline, "
        "at 50 % 2 of 3 committed, at 70 % 0 of 1 committed\n"
    )

    monkeypatch.setattr(sys, "argv", ["patience", "--percent", "0", "80"])
    assert patience.main() == 0
