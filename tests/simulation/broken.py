"""Stores that lack one mechanism of the protocol each: the simulation must find every one of them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.host import Limits
from lockstep.worker.operation.model import (
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    State,
)
from lockstep.worker.operation.transitions import Accepted, Busy, Forward, Progress, Refusal, Request, Settled
from tests.simulation.broken_content import CONTENT
from tests.simulation.broken_waves import WAVES
from tests.simulation.ledger import WatchedStore
from tests.simulation.limits import LIMITS
from tests.twin.books import Reason
from tests.twin.record import AttemptRecord, Record, StepRecord

AT_ONCE: Limits = replace(LIMITS, settle=0)
"""Settling that waits for nothing between its two looks."""
NO_CALL: Limits = replace(LIMITS, call=0)
"""Settling that forgets how long a call may take."""


class AlreadyThereIsNeverOurs(WatchedStore):
    """Our own write that landed unseen counts as having been there before."""

    def _judge(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
    ) -> None:
        kept = step.attempts
        if effect is Effect.ALREADY:
            step.attempts = {attempt: kept[attempt]}
        super()._judge(record, host, step, attempt, effect, answer)
        step.attempts = kept


class BeginsAfterTheDecision(WatchedStore):
    """A forward write is begun although it is decided to roll back."""

    def begin(self, operation: OperationId, host: HostName, *rest: Any, **named: Any) -> Progress:
        record = self.records[operation]
        undo, decision = set(record.undo), record.decision
        if decision is Decision.ROLL_BACK and not record.ended:
            record.decision = None
        said = super().begin(operation, host, *rest, **named)
        if decision is not None:
            record.decision, record.undo = decision, record.undo & undo
        return said


class AnswersCountAfterTheDecision(WatchedStore):
    """The answer to a forward write gives its step an outcome although the operation is decided."""

    def finish(self, operation: OperationId, *rest: Any, **named: Any) -> Progress:
        record = self.records[operation]
        undo, decision = set(record.undo), record.decision
        if not record.ended:
            record.decision = None
        said = super().finish(operation, *rest, **named)
        record.decision, record.undo = decision, undo if decision else record.undo
        self._end_if_done(record)
        return said


class AbandonsWhatItCommitted(WatchedStore):
    """A committed operation that had to settle is called abandoned at its end."""

    def _end_if_done(self, record: Record) -> None:
        if record.decision is Decision.COMMIT and not record.open and self.clock() > (record.decided_at or 0):
            record.state = State.ABANDONED
        super()._end_if_done(record)


class UndoProvesItselfBesideOthers(WatchedStore):
    """An undo counts as proof although another attempt is open."""

    def finish(
        self, operation: OperationId, host: HostName, attempt: AttemptId, *rest: Any, **named: Any
    ) -> Progress:
        record = self.records[operation]
        kept = record.steps[host].attempts.get(attempt)
        if kept is None or not kept.undo:
            return super().finish(operation, host, attempt, *rest, **named)
        others = {each.id: each for each in record.steps[host].open_attempts() if each.id != attempt}
        for each in others.values():
            each.state = AttemptState.SETTLED
        kept.clean = True
        return super().finish(operation, host, attempt, *rest, **named)


class LooksProveTooMuch(WatchedStore):
    """A GET counts as proof although an attempt was open when it was sent."""

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        return super().settle(operation, host, sent_at, 0, seen)


class CommitDoesNotWait(WatchedStore):
    """A committed operation gives up its lock although an attempt is open."""

    def _end_if_done(self, record: Record) -> None:
        if record.decision is Decision.COMMIT:
            record.open.clear()
        super()._end_if_done(record)


class UndoesOnlyWhatIsKnown(WatchedStore):
    """A host that may have been changed is not restored."""

    def _decide(self, record: Record, decision: Decision, reason: Reason | None) -> None:
        for host in set(record.undo):
            if record.steps[host].outcome is not Outcome.APPLIED:
                record.undo.discard(host)
        super()._decide(record, decision, reason)


class ProbesBeforeAgain(WatchedStore):
    """What was seen last counts as what was there before."""

    def begin(self, operation: OperationId, host: HostName, *rest: Any, **named: Any) -> Progress:
        record = self.records[operation]
        step = record.steps[host]
        if step.outcome is None and record.decision is None:
            step.before = None
        return super().begin(operation, host, *rest, **named)


class SeeingTheTargetSettles(WatchedStore):
    """A GET that shows the target closes every attempt, although one of them may still land."""

    def begin(self, operation: OperationId, host: HostName, *rest: Any, **named: Any) -> Progress:
        said = super().begin(operation, host, *rest, **named)
        record = self.records[operation]
        step = record.steps[host]
        if said.next is Forward.DONE and said.outcome is Outcome.APPLIED:
            for each in step.open_attempts():
                self._close_attempt(record, host, step, each, AttemptState.APPLIED)
        return said


class DecidesAgain(WatchedStore):
    """A later decision overrules the first."""

    def cancel(self, operation: OperationId, by: str) -> Refusal | None:
        record = self.records[operation]
        if not record.ended:
            record.decision = None
        return super().cancel(operation, by)


class TellsThePatrolNothing(WatchedStore):
    """A host with a settled attempt is not put on the patrol list."""

    def _suspect(self, record: Record, host: HostName, attempt: AttemptRecord) -> None:
        pass


class SuspectsTheOpposite(WatchedStore):
    """The patrol is told that a write of unknown fate would bring what it would take away."""

    def _suspect(self, record: Record, host: HostName, attempt: AttemptRecord) -> None:
        super()._suspect(record, host, replace(attempt, undo=not attempt.undo))


class RepairsWhateverEnded(WatchedStore):
    """A repair is accepted although another operation has ended since the drift was seen."""

    def accept(self, request: Request) -> Accepted | Busy:
        ends = self.ends(request.group)
        return super().accept(replace(request, repairs={host: ends[host].text for host in request.repairs}))


class KeepsDriftThoughOperationsCame(WatchedStore):
    """What the patrol saw while an operation was at work is kept."""

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        locks, self.locks = self.locks, {}
        try:
            return super().keep_drift(group, self.ends(group), found)
        finally:
            self.locks = locks


class RolledBackRepairsCount(WatchedStore):
    """A repair that was rolled back makes the drift the measure."""

    def _keep_ends(self, record: Record) -> None:
        repairs, record.repairs = record.repairs, False
        super()._keep_ends(record)
        record.repairs = repairs


STORES: tuple[type[WatchedStore], ...] = (
    *WAVES,
    *CONTENT,
    AlreadyThereIsNeverOurs,
    BeginsAfterTheDecision,
    AnswersCountAfterTheDecision,
    AbandonsWhatItCommitted,
    UndoProvesItselfBesideOthers,
    LooksProveTooMuch,
    CommitDoesNotWait,
    UndoesOnlyWhatIsKnown,
    ProbesBeforeAgain,
    SeeingTheTargetSettles,
    DecidesAgain,
    TellsThePatrolNothing,
    SuspectsTheOpposite,
    RepairsWhateverEnded,
    KeepsDriftThoughOperationsCame,
    RolledBackRepairsCount,
)
