"""What happened in an operation, in the order of time: a pure function of its record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lockstep.worker.operation.answer import METHODS
from lockstep.worker.operation.model import Action, Attempt, AttemptState, HostName, Millis, Operation, Step

MEANINGS = {
    AttemptState.OPEN: "its fate is not known yet",
    AttemptState.APPLIED: "it took effect",
    AttemptState.NOT_APPLIED: "it had no effect",
    AttemptState.SETTLED: "it can no longer take effect: what the host showed since is what counts",
    AttemptState.ABANDONED: "given up by a person before its fate was known",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One moment of an operation; of a write if `attempt` is set, else of the operation itself."""

    at: Millis
    what: str
    """`POST`, `DELETE`, or for the operation itself `accepted`, `decided`, `ended`."""
    host: HostName | None = None
    attempt: Attempt | None = None
    text: str | None = None
    """Of the operation itself: by whom, what and why."""

    @property
    def said(self) -> str | None:
        """What came back, in a few words; None when nothing is recorded."""
        return self.attempt.answer if self.attempt else self.text

    @property
    def took(self) -> Millis | None:
        """Milliseconds until the fate of the write was known."""
        if self.attempt is None or self.attempt.closed_at is None:
            return None
        return Millis(self.attempt.closed_at - self.attempt.opened_at)


def method(action: Action, attempt: Attempt) -> str:
    """Return what an attempt sent, or was about to send."""
    return METHODS[action.inverse if attempt.undo else action]


def timeline(operation: Operation, steps: Iterable[Step]) -> tuple[Event, ...]:
    """Return everything that the record knows, by time."""
    events = [Event(operation.created_at, "accepted", text=f"by {operation.created_by}")]
    for step in steps:
        for attempt in step.attempts:
            what = method(operation.action, attempt)
            events.append(Event(attempt.opened_at, what, step.host, attempt))
    if operation.decided_at is not None:
        decided = str(operation.decision).replace("_", " ")
        why = f": {operation.reason}" if operation.reason else ""
        events.append(Event(operation.decided_at, "decided", text=f"{decided}{why}"))
    if operation.ended_at is not None:
        events.append(Event(operation.ended_at, "ended", text=str(operation.state)))
    return tuple(sorted(events, key=_order))


def _order(event: Event) -> tuple[Millis, int]:
    """Within one millisecond: no write is undone before the decision."""
    if event.attempt is not None:
        return event.at, 3 if event.attempt.undo else 1
    return event.at, {"accepted": 0, "decided": 2, "ended": 4}[event.what]


def last_moment(operation: Operation, steps: Iterable[Step]) -> Millis:
    """Return the latest time that the record knows of, at which a picture of it may end."""
    known = [operation.created_at, operation.decided_at, operation.ended_at]
    for step in steps:
        for attempt in step.attempts:
            known += [attempt.opened_at, attempt.closed_at, attempt.probed_at, attempt.answered_at]
    return max(each for each in known if each is not None)
