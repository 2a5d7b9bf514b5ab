"""An operation, an attempt, and what doctor saw of workers, to vary."""

from __future__ import annotations

from lockstep.producer.doctor.checks import About, WorkFacts
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


HERE = About("1.2.0", "5.7.0")
IDLE = {"operations": 0, "rollback": 0}
WORK = WorkFacts(
    queues={"a@x": ["operations"], "b@x": ["rollback"]},
    swept=True,
    here=HERE,
    workers={"a@x": HERE, "b@x": HERE},
    clocks={},
    lengths=IDLE,
    growth=IDLE,
    leased=0,
    stuck=0,
    baking=0,
    failing={},
    patrol_overdue=0,
    patrol_lag=0,
    lost=(),
)
"""All is well."""
