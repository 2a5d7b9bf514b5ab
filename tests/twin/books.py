"""What all operations of the twin share, and the rules that every transition uses."""

from __future__ import annotations

from collections.abc import Callable

from lockstep.worker.operation.decision import why_failed
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import UnknownFormat
from lockstep.worker.operation.limits import Limits
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Lost,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Undo,
)
from lockstep.worker.operation.pause import Pause
from lockstep.worker.operation.states import State
from tests.twin.record import FORMAT, AttemptRecord, Record, StepRecord

Suspect = tuple[GroupId, HostName, Presence]
"""What a write of unknown fate would bring to a host."""


class Books:
    """The working state and what `record.lua` is to the scripts."""

    def __init__(self, clock: Callable[[], Millis], limits: Limits) -> None:
        self.clock = clock
        self.limits = limits
        self.records: dict[OperationId, Record] = {}
        self.locks: dict[GroupId, OperationId] = {}
        self.left: dict[GroupId, dict[HostName, End]] = {}
        self.suspected: dict[Suspect, Millis] = {}
        self.looks: dict[GroupId, Millis] = {}
        self.drifted: dict[tuple[GroupId, HostName], Drift] = {}
        self.gone: dict[OperationId, Lost] = {}
        self.dropped: set[OperationId] = set()
        self.leases: dict[str, Millis] = {}
        self.failed_jobs: dict[str, str] = {}
        self.paused: dict[HostName, Pause] = {}
        self.memory_used = 0.0
        """Share of the memory limit."""

    def heard(self, what: str, record: Record, host: HostName | None = None) -> None:
        """Called at every transition, as subscribers to the events channel would be; does nothing here."""

    def _load(self, operation: OperationId) -> Record | None:
        record = self.records.get(operation)
        if record is not None and record.format != FORMAT:
            raise UnknownFormat(f"the record has format {record.format}")
        return record

    def _open_attempt(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptId, undo: bool
    ) -> None:
        now, limits = self.clock(), self.limits
        clean = not step.open_attempts()
        send_by = Millis(now + limits.send_within)
        quiet = Millis(send_by + limits.call)
        step.attempts[attempt] = AttemptRecord(attempt, undo, now, send_by, quiet, clean)
        record.open.add(host)

    def _close_attempt(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptRecord, state: AttemptState
    ) -> None:
        attempt.state = state
        attempt.closed = self.clock()
        if not step.open_attempts():
            record.open.discard(host)

    def _progressed(self, record: Record) -> None:
        record.progress_at = self.clock()
        if record.resumed:
            self._due_no_later(record, Millis(self.clock() + record.patience))
        record.resumed = 0

    def _set_outcome(
        self, record: Record, host: HostName, step: StepRecord, outcome: Outcome, reason: str | None = None
    ) -> None:
        step.outcome = outcome
        step.reason = reason
        record.todo.discard(host)
        record.waits.pop(host, None)
        if not outcome.succeeded:
            record.failed += 1
            record.failure = record.failure or why_failed(host, str(reason))

    def _restore(self, record: Record, host: HostName, step: StepRecord) -> bool:
        if host not in record.undo:
            return False
        record.undo.discard(host)
        step.undo = Undo.RESTORED
        step.reason = None
        record.waits.pop(host, None)
        self.heard("restored", record, host)
        return True

    def _set_decision(self, record: Record, decision: Decision, reason: str) -> None:
        record.decision = decision
        record.decided_at = self.clock()
        commit = decision is Decision.COMMIT
        record.state = State.COMMITTED if commit else State.ROLLING_BACK
        if not commit:
            record.reason = reason
        record.waits.clear()
        self._progressed(record)
        self.heard("decided", record)

    def _wait_until(self, record: Record, host: HostName, at: Millis) -> None:
        record.waits[host] = at
        self._due_no_later(record, at)

    def _due_no_later(self, record: Record, at: Millis) -> None:
        if record.due is not None and at < record.due:
            record.due = at

    def _suspect(self, record: Record, host: HostName, attempt: AttemptRecord) -> None:
        creates = attempt.undo is (record.action is Action.DELETE)
        brings = Presence.PRESENT if creates else Presence.ABSENT
        now = self.clock()
        self.suspected[record.group, host, brings] = now
        self.looks[record.group] = min(now, self.looks.get(record.group, now))

    def _end_if_done(self, record: Record) -> bool:
        if record.ended or record.decision is None or record.open:
            return False
        rolling_back = record.decision is Decision.ROLL_BACK
        if rolling_back and record.undo:
            return False
        if rolling_back:
            record.state = State.ABANDONED if record.abandoned else State.ROLLED_BACK
        self._keep_ends(record)
        record.ended = True
        record.ended_at = self.clock()
        record.due = None
        for working_set in (record.todo, record.undo, record.open, record.waits):
            working_set.clear()
        if self.locks.get(record.group) == record.id:
            del self.locks[record.group]
        self.heard("ended", record)
        return True

    def _keep_ends(self, record: Record) -> None:
        if record.repairs and record.decision is Decision.ROLL_BACK:
            return
        kept = self.left.setdefault(record.group, {})
        now = self.clock()
        for host, step in record.steps.items():
            if record.decision is Decision.COMMIT:
                kept[host] = End(record.target, record.id, now, step.fingerprint)
            elif step.before is not None and step.undo is not Undo.ABANDONED:
                kept[host] = End(step.before, record.id, now, step.fingerprint)
            else:
                continue
            self.drifted.pop((record.group, host), None)
        if not kept:
            del self.left[record.group]
