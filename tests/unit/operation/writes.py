"""Writes to a host, and what its step comes to, in few words."""

from __future__ import annotations

from lockstep.worker.operation.model import (
    Attempt,
    AttemptId,
    AttemptState,
    HostName,
    Millis,
    Outcome,
    Presence,
    Seen,
    Step,
    Undo,
)

DECIDED = Millis(1000)
ABSENT, PRESENT = Seen(Presence.ABSENT), Seen(Presence.PRESENT, "{}")
APPLIED, NOT, SETTLED, OPEN, GIVEN_UP = (
    AttemptState.APPLIED,
    AttemptState.NOT_APPLIED,
    AttemptState.SETTLED,
    AttemptState.OPEN,
    AttemptState.ABANDONED,
)


def write(
    key: str,
    state: AttemptState,
    said: str | None,
    at: int | None = None,
    *,
    undo: bool = False,
    clean: bool = True,
) -> Attempt:
    """A write of which was heard, and whose fate was known, so many ms after the acceptance."""
    known = None if at is None else Millis(at)
    return Attempt(
        AttemptId(key), undo, state, Millis(0), Millis(5), Millis(20), clean, None, known, known, said
    )


def step(
    *attempts: Attempt,
    before: Seen | None = ABSENT,
    outcome: Outcome | None = None,
    undo: Undo = Undo.NONE,
    abandoned_at: Millis | None = None,
) -> Step:
    return Step(
        HostName("node1"),
        before=before,
        outcome=outcome,
        undo=undo,
        abandoned_at=abandoned_at,
        attempts=attempts,
    )


DONE = write("a", APPLIED, "201", 300)
LATE = write("a", APPLIED, "201", 1300)
LOST = write("a", OPEN, "answer lost: read timeout")
LEFT = write("a", GIVEN_UP, "answer lost: read timeout", 9000)
LAID = write("a", SETTLED, "answer lost: read timeout", 9000)
REFUSED = write("a", NOT, "403", 300)
UNDO = write("u", APPLIED, "200", 2000, undo=True)
