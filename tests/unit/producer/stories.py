"""One operation with everything in it: writes of every fate, a rollback, hosts never touched."""

from __future__ import annotations

from dataclasses import replace

from lockstep.worker.operation.model import (
    Attempt,
    AttemptId,
    AttemptState,
    Decision,
    HostName,
    Millis,
    Outcome,
    Presence,
    Seen,
    State,
    Step,
    Undo,
)
from tests.unit.producer.samples import OPERATION

START = OPERATION.created_at
ABSENT = Seen(Presence.ABSENT)


def write(
    key: str,
    opened: int,
    closed: int | None,
    state: AttemptState = AttemptState.APPLIED,
    said: str | None = "201",
    *,
    undo: bool = False,
) -> Attempt:
    """A write opened and closed so many ms after the acceptance."""
    return Attempt(
        AttemptId(key),
        undo,
        state,
        Millis(START + opened),
        Millis(START + opened + 5000),
        Millis(START + opened + 20_000),
        clean=True,
        closed_at=None if closed is None else Millis(START + closed),
        answer=said,
    )


ROLLED_BACK = replace(
    OPERATION,
    state=State.ROLLED_BACK,
    decision=Decision.ROLL_BACK,
    decided_at=Millis(START + 16_300),
    ended_at=Millis(START + 29_000),
    ended=True,
    reason='node4 refused (403) <script>alert("x")</script>',
    hosts_total=6,
    hosts_done=6,
)
STEPS = (
    Step(
        HostName("node1"),
        before=ABSENT,
        outcome=Outcome.APPLIED,
        undo=Undo.RESTORED,
        attempts=(write("a", 40, 75), write("b", 16_400, 16_450, said="200", undo=True)),
    ),
    Step(HostName("node2"), before=Seen(Presence.PRESENT, "{}"), outcome=Outcome.UNCHANGED),
    Step(
        HostName("node3"),
        before=ABSENT,
        outcome=Outcome.UNKNOWN,
        undo=Undo.RESTORED,
        attempts=(
            write("c", 60, 350, AttemptState.NOT_APPLIED, "not sent: connection refused"),
            write("d", 1200, 28_600, AttemptState.SETTLED, "answer lost: read timeout"),
            write("e", 17_000, 17_600, said="500", state=AttemptState.SETTLED, undo=True),
        ),
    ),
    Step(
        HostName("node4"),
        before=ABSENT,
        outcome=Outcome.REFUSED,
        reason="refused (403)",
        attempts=(write("f", 15_900, 16_200, AttemptState.NOT_APPLIED, "403"),),
    ),
    Step(HostName("node5.eu-central.example.org"), outcome=Outcome.UNREACHABLE, reason="connection refused"),
    Step(
        HostName("node6"),
        before=ABSENT,
        outcome=Outcome.APPLIED,
        undo=Undo.ABANDONED,
        reason="bob: scrapped",
        attempts=(
            write("g", 100, 400),
            write("h", 16_500, 25_000, AttemptState.ABANDONED, "answer lost: reset", undo=True),
        ),
    ),
)
