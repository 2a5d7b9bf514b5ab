"""An operation and an attempt to vary."""

from __future__ import annotations

from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    GroupId,
    Millis,
    OperationId,
    State,
    Status,
)

OPERATION = Status(
    id=OperationId("7f3c"),
    group=GroupId("team-a"),
    action=Action.CREATE,
    verb="create",
    state=State.APPLYING,
    decision=None,
    settling=False,
    ended=False,
    reason=None,
    created_by="alice@desk",
    created_at=Millis(1_700_000_000_123),
    deadline_at=Millis(1_700_000_300_000),
    decided_at=None,
    ended_at=None,
    hosts_total=3,
    hosts_done=0,
    pending_hosts=(),
    stalled_hosts=(),
)


def attempt(key: str, *, undo: bool = False) -> Attempt:
    """An attempt that was applied."""
    return Attempt(AttemptId(key), undo, AttemptState.APPLIED, Millis(0), Millis(5), Millis(20), clean=True)
