"""The Store protocol in memory: forward transitions and decisions; not for threads."""

from __future__ import annotations

from collections.abc import Sequence

from lockstep.worker.operation.answer import METHODS
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import HostPaused, OperationIdReused, ReasonKind, StoreFull
from lockstep.worker.operation.host import refusal
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.thing import Trace
from lockstep.worker.operation.transitions import Accepted, Busy, Forward, Miss, Progress, Refusal, Request
from tests.twin.content import MemoryContent
from tests.twin.limit import ALL, OVER, SEND
from tests.twin.record import FILLED, WAVED, Record, StepRecord


def _payload(request: Request) -> object:
    """What a request with the same id must be about."""
    said = request.rollout.kept() if request.rollout else None
    asked = request.content and request.content.kept()
    return request.action, request.group, frozenset(host.name for host in request.hosts), said, asked


class MemoryStore(MemoryContent):
    """The whole store in memory, with the transitions that come before the decision, and the decision."""

    def accept(self, request: Request) -> Accepted | Busy:
        """Record an operation and take its lock. Raises OperationIdReused, HostPaused and StoreFull."""
        rollout, filled = request.rollout, request.content
        known = self._load(request.id)
        if known is not None:
            if known.payload != _payload(request):
                raise OperationIdReused(f'operation id "{request.id}" belongs to another operation')
            if known.owner and request.owner and known.owner != request.owner:
                raise OperationIdReused(f'operation id "{request.id}" was given by {known.created_by}')
            return Accepted.EXISTING
        paused = [self.paused[host.name] for host in request.hosts if host.name in self.paused]
        if paused:
            raise HostPaused(refusal(paused[0], len(paused) - 1))
        lock = GroupId(filled.lock) if filled else request.group
        owner = self.locks.get(lock)
        if owner is not None:
            return Busy(owner)
        if self.memory_used >= self.limits.memory_watermark:
            raise StoreFull(f"{self.memory_used:.0%} of the memory is in use")
        kept = self.left.get(request.group, {})
        if any(host not in kept or kept[host].text != text for host, text in request.repairs.items()):
            return Accepted.STALE
        now = self.clock()
        self.dropped.discard(request.id)
        deadline = Millis(now + request.deadline)
        self.records[request.id] = Record(
            id=request.id,
            group=request.group,
            action=request.action,
            payload=_payload(request),
            steps={
                host.name: StepRecord(
                    host.fingerprint,
                    wave=rollout.waves.get(host.name, 1) if rollout else 1,
                    health=rollout.health.get(host.name) if rollout else None,
                    trace=Trace(as_seen=self._known_form(request, host)),
                )
                for host in request.hosts
            },
            created_by=request.created_by,
            created_at=now,
            deadline_at=deadline,
            progress_at=now,
            target=request.action.target,
            todo={host.name for host in request.hosts},
            patience=self.limits.sweep_patience,
            retries=request.retries,
            repairs=bool(request.repairs),
            owner=request.owner,
            content=filled,
            texts=dict(filled.texts) if filled else {},
        )
        if rollout is not None:
            self._with_waves(self.records[request.id], rollout, request.deadline)
        if ALL in self.limited or any(host.name in self.limited for host in request.hosts):
            self.records[request.id].limited, self.records[request.id].format = True, WAVED
        if filled is not None:
            self.records[request.id].format = FILLED
        self.locks[lock] = request.id
        return Accepted.ACCEPTED

    def begin(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        seen: Seen,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        age: int = 0,
    ) -> Progress:
        """Record what a GET of the group showed; open `attempt` if a write is needed (SEND).

        OVER if the operation is about another action or group.
        """
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or step is None or (record.action, record.group) != (action, group):
            return OVER
        no = self._turned_away(record, host, step, fingerprint)
        if no is not None:
            return no
        if attempt in step.attempts:
            return SEND if step.attempts[attempt].is_open else OVER
        step.misses, step.silent, step.silent_at = 0, 0, None
        if step.before is None:
            step.before = seen.presence
            if record.action is Action.DELETE and seen.presence is Presence.PRESENT:
                step.body = seen.body or ""
        if seen.presence is record.target:
            outcome = Outcome.APPLIED if step.attempts else Outcome.UNCHANGED
            return self._came_to(record, host, step, outcome)
        writes = [each for each in step.attempts.values() if not each.undo]
        if record.retries is not None and len(writes) > record.retries:
            last = writes[-1].answer or "no answer"
            reason = f"all {len(writes)} writes spent ({last})"
            return self._came_to(record, host, step, Outcome.UNKNOWN, reason)
        busy = self._open_attempt(record, host, step, attempt, undo=False, age=age)
        if busy is not None:
            return busy
        record.undo.add(host)
        return SEND

    def missed(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: AttemptId,
        reason: str,
        miss: Miss,
        fatal: Outcome | None = None,
        needs: int = 0,
        why: ReasonKind | None = None,
    ) -> Progress:
        """Count a GET that told nothing; fail the step when its time or its retries are spent."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or step is None:
            return OVER
        no = self._turned_away(record, host, step, step.fingerprint if miss is Miss.UNASKED else fingerprint)
        if no is not None:
            return no
        now = self.clock()
        if miss is Miss.UNASKED:
            step.silent_at = None
        elif step.miss_id != look:
            step.miss_id = look
            step.misses += 1
            if miss is Miss.ANSWERED:
                step.silent, step.silent_at = 0, None
            else:
                step.silent += 0 if step.silent_at is None else now - step.silent_at
                step.silent_at = now
        step.reason, step.why = reason, why
        spent = record.retries is not None and step.misses > record.retries
        silent = step.silent >= self.limits.host_patience
        gone = fatal is not None or spent or silent
        if gone or record.deadline_at - now <= needs:
            outcome = Outcome.UNKNOWN if step.attempts else fatal or Outcome.UNREACHABLE
            kind = (why or (ReasonKind.SILENT if silent else None)) if gone else ReasonKind.NO_TIME
            return self._came_to(record, host, step, outcome, reason, kind)
        self._progressed(record)
        return Progress(Forward.MISSED, misses=step.misses, left=record.deadline_at - now)

    def finish(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        needs: int = 0,
        lost_fields: Sequence[str] = (),
    ) -> Progress:
        """Record what came of a write; OPEN means try again, RESTORED that an inverse one is proved."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or step is None or attempt not in step.attempts:
            return OVER
        if record.content is not None:
            return self._finish_thing(operation, host, attempt, effect, answer, needs)
        kept, first = step.attempts[attempt], step.attempts[attempt].is_open
        self._close_by(record, host, step, kept, effect, answer)
        if kept.undo:
            step.lost = tuple(lost_fields) or step.lost
            return self._finish_undo(record, host, kept, effect, answer)
        if first and record.decision is None and step.outcome is None:
            self._judge(record, host, step, attempt, effect, answer)
            if host in record.todo and record.deadline_at - self.clock() <= needs:
                reason = f"{METHODS[record.action]} {answer}"
                self._set_outcome(record, host, step, Outcome.UNKNOWN, reason, ReasonKind.NO_TIME)
        return self._after_answer(record, host, step)

    def _judge(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
    ) -> None:
        match effect:
            case Effect.APPLIED | Effect.UNSHOWN:
                self._set_outcome(record, host, step, Outcome.APPLIED)
            case Effect.ALREADY:
                others = [each for each in step.attempts.values() if each.id != attempt]
                if any(each.state is not AttemptState.NOT_APPLIED for each in others):
                    self._set_outcome(record, host, step, Outcome.APPLIED)
                else:
                    step.before, step.body = record.target, None
                    record.undo.discard(host)
                    self._set_outcome(record, host, step, Outcome.UNCHANGED)
            case Effect.CONTESTED if any(
                self.clock() < each.quiet + self.limits.settle for each in step.open_attempts()
            ):
                step.reason, step.why = answer, None
            case Effect.REFUSED | Effect.CONTESTED:
                self._set_outcome(record, host, step, Outcome.REFUSED, answer, ReasonKind.REFUSED)
            case Effect.MISDIRECTED:
                self._set_outcome(record, host, step, Outcome.UNKNOWN, answer, ReasonKind.MISDIRECTED)

    def cancel(self, operation: OperationId, by: str) -> Refusal | None:
        """Decide to roll back, unless decided; `by` says who asked for it, and why."""
        record = self._load(operation)
        if record is None:
            return Refusal.UNKNOWN
        if record.decision is not None:
            same = (None, ReasonKind.CANCELLED, by) == record.reason
            return None if same else Refusal(record.decision.value)
        self._decide(record, Decision.ROLL_BACK, (None, ReasonKind.CANCELLED, by))
        self._end_if_done(record)
        return None
