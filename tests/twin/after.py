"""The twin's transitions after the decision: undo, settle, wait, abandon; and who works on what next."""

from __future__ import annotations

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    AttemptId,
    AttemptState,
    Decision,
    HostName,
    Millis,
    OperationId,
    Presence,
    Undo,
)
from lockstep.worker.operation.transitions import Claim, Forward, Phase, Progress, Refusal, Settled
from tests.twin.limit import OVER, SEND
from tests.twin.queries import MemoryQueries
from tests.twin.record import AttemptRecord, Record, StepRecord

AMBIGUOUS = (Effect.UNKNOWN, Effect.MISDIRECTED, Effect.UNSHOWN)
DONE = (Effect.APPLIED, Effect.ALREADY)


class AfterDecision(MemoryQueries):
    """Transitions that work on what has been decided."""

    def begin_undo(
        self, operation: OperationId, host: HostName, fingerprint: str, attempt: AttemptId, sent_at: Millis
    ) -> Progress:
        """Open an attempt of the inverse."""
        record = self._load(operation)
        if record is None or record.ended or record.decision is not Decision.ROLL_BACK:
            return OVER
        if host not in record.undo:
            return OVER
        step = record.steps[host]
        if step.fingerprint != fingerprint:
            return Progress(Forward.ELSEWHERE, fingerprint=step.fingerprint)
        if attempt in step.attempts:
            return SEND if step.attempts[attempt].is_open else OVER
        age = self.clock() - sent_at
        busy = self._open_attempt(record, host, step, attempt, undo=True, age=age)
        return SEND if busy is None else busy

    def _finish_undo(
        self, record: Record, host: HostName, kept: AttemptRecord, effect: Effect, answer: str
    ) -> Progress:
        """Keep what came of an inverse write whose attempt is closed; RESTORED if the host is known to be."""
        step = record.steps[host]
        rolling_back = not record.ended and record.decision is Decision.ROLL_BACK
        if effect in DONE and rolling_back and kept.clean and not step.open_attempts():
            self._restore(record, host, step)
        elif effect not in DONE and step.undo is not Undo.RESTORED:
            step.reason, step.why = answer, None
        if not record.ended:
            self._progressed(record)
        self._end_if_done(record)
        return Progress(Forward.RESTORED) if step.undo is Undo.RESTORED else OVER

    def _close_by(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        attempt: AttemptRecord,
        effect: Effect,
        answer: str,
    ) -> None:
        attempt.answer = answer
        attempt.answered = self.clock()
        if attempt.is_open and effect not in AMBIGUOUS:
            applied = effect is Effect.APPLIED
            state = AttemptState.APPLIED if applied else AttemptState.NOT_APPLIED
            self._close_attempt(record, host, step, attempt, state)

    def _close_settled(
        self, record: Record, host: HostName, step: StepRecord, sent_at: Millis
    ) -> Millis | None:
        again: Millis | None = None
        window = self._settles_within(record)
        for attempt in step.open_attempts():
            if attempt.probed is not None and sent_at >= attempt.probed + window:
                self._close_attempt(record, host, step, attempt, AttemptState.SETTLED)
                self._suspect(record, host, attempt)
                continue
            if attempt.probed is None and sent_at >= attempt.quiet:
                attempt.probed = self.clock()
            at = attempt.quiet if attempt.probed is None else Millis(attempt.probed + window)
            again = at if again is None else min(again, at)
        return again

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        """Record what a GET showed after the decision: closes settled attempts, proves restored hosts."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None and not record.ended else None
        if record is None or step is None:
            return Settled(False, 0, None)
        again = self._close_settled(record, host, step, sent_at)
        still_open = len(step.open_attempts())
        rolling_back = record.decision is Decision.ROLL_BACK
        proven = rolling_back and not open_before and not still_open and seen is step.before
        restored = proven and self._restore(record, host, step)
        self._progressed(record)
        self._end_if_done(record)
        return Settled(restored, still_open, again)

    def postpone(
        self,
        operation: OperationId,
        host: HostName,
        delay: int | None,
        reason: str = "",
        failed: AttemptId | None = None,
        why: ReasonKind | None = None,
    ) -> int:
        """Keep a wait of `delay` ms (None: none) for the sweep; return the failed tries since deciding."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None and not record.ended else None
        if record is None or step is None:
            return 0
        if record.decision is None and host in record.later:
            return 0
        if reason:
            step.reason, step.why = reason, why
        if failed is not None and step.undo_miss_id != failed:
            step.undo_miss_id = failed
            step.undo_misses += 1
        if delay is not None:
            record.waits[host] = Millis(self.clock() + delay)
        self._progressed(record)
        return step.undo_misses

    def abandon(self, operation: OperationId, host: HostName, reason: str) -> Refusal | None:
        """Give up on a host that is still to be restored or settled."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or step is None:
            return Refusal.UNKNOWN
        if record.decision is None:
            return Refusal.UNDECIDED
        pending = record.decision is Decision.ROLL_BACK and host in record.undo
        if record.ended or not (pending or step.open_attempts()):
            return Refusal.NOT_PENDING
        for attempt in step.open_attempts():
            self._close_attempt(record, host, step, attempt, AttemptState.ABANDONED)
            self._suspect(record, host, attempt)
        step.abandoned = reason
        step.abandoned_at = self.clock()
        if pending:
            record.undo.discard(host)
            step.undo = Undo.ABANDONED
            record.abandoned = True
        record.waits.pop(host, None)
        self._leave(record, [host])
        self._progressed(record)
        self.heard("abandoned", record, host)
        self._end_if_done(record)
        return None

    def claim(self, operation: OperationId, *, resume: bool = False) -> Claim | None:
        """Claim what is to be published next, each phase once; None if unknown or ended."""
        record = self._load(operation)
        if record is None or record.ended:
            return None
        self._move(record)
        self._end_if_done(record)
        if record.ended_at is not None:
            return None
        phase, members, label = self._phase(record)
        hosts: set[HostName] = set()
        if phase is not Phase.WAIT and record.dispatched != label:
            record.dispatched = label
            hosts = set(members)
            self._progressed(record)
        elif resume:
            now = self.clock()
            over = {host for host, at in record.waits.items() if at <= now}
            record.waits = {host: at for host, at in record.waits.items() if at > now}
            hosts = over & members
            if phase is not Phase.WAIT and self._stale_at(record) <= now:
                hosts |= members - set(record.waits)
                record.progress_at = now
                record.resumed += 1
        number = label.partition(":")[2]
        return Claim(phase, record.group, record.action, tuple(sorted(hosts)), int(number or 0))
