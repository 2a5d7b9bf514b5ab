"""What the twin's forward transitions share: whom they turn away, and what they answer."""

from __future__ import annotations

from lockstep.worker.operation.errors import ReasonKind, told
from lockstep.worker.operation.model import HostName, Outcome
from lockstep.worker.operation.transitions import Forward, Progress
from tests.twin.limit import NOT_OPEN, OVER
from tests.twin.record import SUCCEEDED, Record, StepRecord
from tests.twin.waves import MemoryWaves


def came_to(host: HostName, step: StepRecord) -> Progress:
    """What a forward step answers once it has its outcome, however often it is asked."""
    if step.outcome in SUCCEEDED:
        return Progress(Forward.DONE, outcome=step.outcome, step=step.shown(host, False))
    reason = told(step.why, step.reason) if step.reason else None
    return Progress(Forward.FAILED, outcome=step.outcome, reason=reason)


class MemoryForward(MemoryWaves):
    """How a forward transition begins and ends."""

    def _turned_away(
        self, record: Record, host: HostName, step: StepRecord, fingerprint: str
    ) -> Progress | None:
        """What a forward step answers without anything being recorded; None if it may go on."""
        if step.outcome is not None:
            return came_to(host, step)
        if record.decision is not None:
            return OVER
        if host in record.later:
            return NOT_OPEN
        if step.fingerprint != fingerprint:
            return Progress(Forward.ELSEWHERE, fingerprint=step.fingerprint)
        return None

    def _after_answer(self, record: Record, host: HostName, step: StepRecord) -> Progress:
        """What a forward step answers once the answer to its write is recorded."""
        if not record.ended:
            self._progressed(record)
        self._end_if_done(record)
        if step.outcome is not None:
            return came_to(host, step)
        if record.decision is not None:
            return OVER
        return Progress(Forward.OPEN, left=record.deadline_at - self.clock())

    def _came_to(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        outcome: Outcome,
        reason: str | None = None,
        why: ReasonKind | None = None,
    ) -> Progress:
        self._set_outcome(record, host, step, outcome, reason, why)
        self._progressed(record)
        self._end_if_done(record)
        return came_to(host, step)
