"""What a decision settles for good: its own words, and what the steps knew when it was made."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import AttemptId, HostName, Outcome, Presence, State
from tests.simulation.world import Violation
from tests.twin.record import Record, StepRecord, allowed


@dataclass(frozen=True, slots=True)
class Known:
    """What a step knew at the decision."""

    before: Presence | None
    body: str | None
    outcome: Outcome | None
    writes: frozenset[AttemptId]
    """The forward attempts that had been opened."""

    @classmethod
    def of(cls, step: StepRecord) -> Known:
        """Read it from a step."""
        writes = frozenset(each.id for each in step.attempts.values() if not each.undo)
        return cls(step.before, step.body, step.outcome, writes)


class Course:
    """The course of one operation: its states, one allowed after another, and what its decision settled."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._state = State.APPLYING
        self._known: dict[HostName, Known] = {}

    def decided(self) -> None:
        """Keep what the steps know at this moment."""
        self._known = {host: Known.of(step) for host, step in self._record.steps.items()}

    def moved(self) -> None:
        """The record may have another state now. Raises Violation if it may not have this one."""
        old, new = self._state, self._record.state
        if new is not old and not allowed(old, new):
            raise Violation(f"{self._record.id} went from {old} to {new}")
        self._state = new

    def check(self) -> None:
        """Raise Violation if anything that was settled is no longer so."""
        name = self._record.id
        if self._record.state is not self._state:
            raise Violation(f"{name} is {self._record.state} all of a sudden")
        for host, then in self._known.items():
            now = Known.of(self._record.steps[host])
            if now.writes != then.writes:
                raise Violation(f"{name} opened a forward attempt on {host} after its decision")
            if now != then:
                raise Violation(f"{name} changed on {host} after its decision: {then}, now {now}")
