"""What an operation came to, as its caller is told it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lockstep.worker.operation.model import (
    GroupId,
    HostName,
    Millis,
    Operation,
    OperationId,
    Outcome,
    Presence,
    State,
    Step,
    Undo,
)
from lockstep.worker.operation.story import Story, story
from lockstep.worker.operation.transitions import Refused


@dataclass(frozen=True, slots=True)
class HostResult:
    """What became of one host."""

    host: HostName
    before: Presence | None
    """What it held before; None if it never gave a usable answer."""
    outcome: Outcome | None
    """None when the operation was decided before this host was done."""
    undo: Undo
    attempts: int
    """How many writes were sent, or may have been, the undoing ones included."""
    reason: str | None
    due_at: Millis | None
    """When it is asked again; None when no wait is recorded."""
    lost_fields: tuple[str, ...]
    """Fields of a deleted group that the host refused to take back."""
    wave: int
    """1 without waves."""
    gate: str | None
    """What the last look of the gate showed."""
    story: Story
    """What happened to the host: `story.text` tells it, `story.changed` whether the operation changed it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation came to when its caller was answered."""

    operation_id: OperationId
    group: GroupId
    state: State
    """`rolling_back` means: every host that answers is restored, `pending_hosts` are retried for ever."""
    reason: str | None
    """Why it was rolled back."""
    pending_hosts: tuple[HostName, ...]
    """Hosts that are still to be restored."""
    hosts: tuple[HostResult, ...]

    @property
    def committed(self) -> bool:
        """True when every host is as asked."""
        return self.state is State.COMMITTED


def answered(operation: Operation) -> bool:
    """Tell whether a caller need wait no longer: it is done, or only hosts that are away are left."""
    if operation.ended or operation.state is State.COMMITTED:
        return True
    pending = operation.pending_hosts
    return operation.state is State.ROLLING_BACK and bool(pending) and pending == operation.stalled_hosts


def result_of(operation: Operation, steps: Iterable[Step]) -> Result:
    """Put together what a caller is told."""
    return Result(
        operation_id=operation.id,
        group=operation.group,
        state=operation.state,
        reason=operation.reason,
        pending_hosts=operation.pending_hosts,
        hosts=tuple(host_result(operation, step) for step in steps),
    )


def host_result(operation: Operation, step: Step) -> HostResult:
    """Put together what became of one host."""
    return HostResult(
        host=step.host,
        before=step.before.presence if step.before else None,
        outcome=step.outcome,
        undo=step.undo,
        attempts=len(step.attempts),
        reason=step.reason,
        due_at=step.due_at,
        lost_fields=step.lost_fields,
        wave=step.wave,
        gate=step.gate.said if step.gate else None,
        story=story(operation.action, step, operation.decided_at),
    )


OnChange = Callable[[Operation | None], None]
"""Called with every change while waiting, and with None when Redis stops answering."""
Done = Callable[[Operation], bool]


class WaitState:
    """One wait."""

    def __init__(self, done: Done, on_change: OnChange | None) -> None:
        self._done = done
        self._on_change = on_change
        self.last: Operation | None = None
        self.silent = False

    def is_over(self, status: Operation | None) -> bool:
        """Tell the caller what is new; return True if this is what it waits for."""
        new = not self.silent if status is None else self.silent or status != self.last
        if new and self._on_change is not None:
            self._on_change(status)
        self.silent = status is None
        self.last = status or self.last
        return status is not None and self._done(status)


NOT_HELD = {
    Refused.NO_WAVES: "it has no waves; cancel it instead, or create it with waves",
    Refused.COMMITTED: "it is committed",
    Refused.ROLLING_BACK: "it is rolled back",
    Refused.FREE: "nobody holds it",
    Refused.ALREADY: "nobody holds it",
    Refused.OTHER: "somebody has put a newer hold on it; look at it first",
}
"""Why an operation cannot be held or promoted."""
