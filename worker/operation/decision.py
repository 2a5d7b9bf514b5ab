"""What an operation needs next: one function, asked by the chord callback and by the sweep alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lockstep.worker.operation.model import Decision, HostName, Millis


class Move(StrEnum):
    """What to do next with an operation."""

    NOTHING = "nothing"
    """It is at its end."""
    FORWARD = "forward"
    """Some hosts have no outcome yet."""
    COMMIT = "commit"
    ROLL_BACK = "roll back"
    """Decide so; nothing has been decided yet."""
    UNDO = "undo"
    """It is decided to roll back, and some hosts are not restored yet."""
    SETTLE = "settle"
    """Only attempts of unknown fate keep it from its end."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How far an operation has come, in counts of hosts."""

    decision: Decision | None
    ended: bool
    todo: int
    """Hosts without an outcome."""
    failed: int
    """Hosts whose step failed for good."""
    undo: int
    """Hosts that were touched and are not known to be as they were before."""
    open: int
    """Hosts with an attempt of unknown fate."""
    now: Millis
    deadline_at: Millis
    reason: str | None = None
    """Why the first step failed."""


def next_move(tally: Tally) -> Move:
    """Return the next move; the same for the callback, the sweep and after every transition."""
    if tally.ended:
        return Move.NOTHING
    if tally.decision is None:
        if tally.failed:
            return Move.ROLL_BACK
        if not tally.todo:
            return Move.COMMIT
        return Move.ROLL_BACK if tally.now >= tally.deadline_at else Move.FORWARD
    if tally.decision is Decision.ROLL_BACK and tally.undo:
        return Move.UNDO
    return Move.SETTLE if tally.open else Move.NOTHING


def may_end(tally: Tally) -> bool:
    """Tell whether the operation is at its end, so that its lock is to be released."""
    return tally.decision is not None and next_move(tally) is Move.NOTHING


def why_failed(host: HostName, reason: str) -> str:
    """Return why an operation fails because of one host: `node4 refused (403)`, `node4: GET 503`."""
    return f"{host} {reason}" if reason.startswith(("refused ", "misdirected ")) else f"{host}: {reason}"


def why_roll_back(tally: Tally) -> str:
    """Return the reason that is kept in the record when the next move is to roll back."""
    return tally.reason or "the deadline passed"
