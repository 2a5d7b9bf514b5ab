"""The twin's transitions for things with content."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Outcome,
    Undo,
)
from lockstep.worker.operation.thing import Digest, Likeness, ThingEnd, ThingLook
from lockstep.worker.operation.transitions import Forward, Progress, Refusal, Request
from tests.twin.forward import MemoryForward
from tests.twin.limit import OVER, SEND
from tests.twin.record import AttemptRecord, Record, StepRecord

STAYS_OPEN = (Effect.UNKNOWN, Effect.MISDIRECTED, Effect.STARTED)
LANDED = (Effect.APPLIED, Effect.REPLACED)
FAILS = {
    Effect.REFUSED: (Outcome.REFUSED, ReasonKind.REFUSED),
    Effect.MISDIRECTED: (Outcome.UNKNOWN, ReasonKind.MISDIRECTED),
}
OVERWROTE = (Outcome.REFUSED, ReasonKind.OVERWROTE)
FOREIGN = "it shows what neither was there nor is asked for"


class MemoryContent(MemoryForward):
    """Transitions that only an operation on a thing with content has."""

    def shown(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: ThingLook,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        needs: int = 0,
    ) -> Progress:
        """Record what a look showed; open `attempt` if a write is needed (SEND)."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or record.content is None or step is None:
            return OVER
        if (record.action, record.group) != (action, group):
            return OVER
        no = self._turned_away(record, host, step, fingerprint)
        if no is not None:
            return no
        if attempt in step.attempts:
            return SEND if step.attempts[attempt].is_open else OVER
        return self._judge_look(record, host, step, look, attempt, needs)

    def _judge_look(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        look: ThingLook,
        attempt: AttemptId,
        needs: int,
    ) -> Progress:
        assert record.content is not None
        step.misses, step.silent, step.silent_at = 0, 0, None
        landed, opened, seen = step.landed, step.open_attempts(), look.digest
        if not landed:
            step.trace = replace(step.trace, was=seen)
            self._keep_text(record, look)
        attempts = list(step.attempts.values())
        newest = attempts[-1] if attempts else None
        answered = newest is not None and newest.state is AttemptState.APPLIED
        target = look.shows is Likeness.TARGET or seen == step.trace.as_seen
        answers = any(each.state is AttemptState.APPLIED for each in attempts)
        known = answers or not record.content.secret
        came = partial(self._came_to, record, host, step)

        def again(why: str) -> Progress:
            step.reason, step.why = why, None
            left = record.deadline_at - self.clock()
            if left <= needs:
                return came(Outcome.UNKNOWN, why, ReasonKind.NO_TIME)
            self._progressed(record)
            return Progress(Forward.MISSED, left=left)

        if target and known:
            if seen == step.trace.as_seen:
                self._keep_text(record, look)
            else:
                step.trace = replace(step.trace, as_seen=None)
            return came(Outcome.APPLIED if landed else Outcome.UNCHANGED)
        if look.shows is Likeness.LIKE and landed and known and seen != step.trace.was:
            step.trace = replace(step.trace, as_seen=seen)
            self._keep_text(record, look)
            return came(Outcome.APPLIED)
        if not landed and look.barred:
            return came(Outcome.REFUSED, look.barred, ReasonKind.REFUSED)
        if step.contested is not None and not opened:
            return came(Outcome.REFUSED, step.contested, ReasonKind.REFUSED)
        if answered and newest is not None and seen == step.trace.was:
            assert newest.closed is not None
            if self.clock() - self.limits.call >= newest.closed + self._settles_within(record):
                return came(Outcome.REFUSED, newest.answer or "", ReasonKind.IGNORED)
            return again(f"it said {newest.answer or 'yes'}, and shows what was there before")
        if landed and not target and look.shows is Likeness.OTHER and seen != step.trace.was:
            if not opened:
                return came(Outcome.REFUSED, FOREIGN, ReasonKind.FOREIGN)
            return again(f"{FOREIGN}, while a write may land")
        if any(each.started or record.content.once for each in opened):
            return again("a write of ours is under way there")
        writes = [each for each in attempts if not each.undo and not each.later]
        if record.retries is not None and len(writes) > record.retries:
            last = writes[-1].answer or "no answer"
            return came(Outcome.UNKNOWN, f"all {len(writes)} writes spent ({last})")
        busy = self._open_attempt(record, host, step, attempt, undo=False, age=needs)
        if busy is not None:
            return busy
        step.contested = None
        record.undo.add(host)
        return SEND

    def _finish_thing(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        needs: int = 0,
    ) -> Progress:
        """Record what the answer to a write says, an inverse too; OPEN means that a look is to tell."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or record.content is None or step is None or attempt not in step.attempts:
            return OVER
        kept = step.attempts[attempt]
        kept.answer, kept.answered = answer, self.clock()
        kept.started = kept.started or effect is Effect.STARTED
        first = kept.is_open
        if first and effect not in STAYS_OPEN:
            state = AttemptState.APPLIED if effect in LANDED else AttemptState.NOT_APPLIED
            self._close_attempt(record, host, step, kept, state)
            kept.later = effect is Effect.LATER
        others = [each for each in step.attempts.values() if each.id != attempt]
        ours = any(each.state is not AttemptState.NOT_APPLIED for each in others)
        overwrote = effect is Effect.REPLACED and not kept.undo and not ours
        if overwrote:
            step.trace = replace(step.trace, overwrote=True)
        if kept.undo:
            if step.undo is not Undo.RESTORED and effect not in LANDED:
                step.reason, step.why = answer, None
        elif first and record.decision is None and step.outcome is None:
            if overwrote or effect in FAILS:
                outcome, why = OVERWROTE if overwrote else FAILS[effect]
                self._set_outcome(record, host, step, outcome, answer, why)
            elif effect is Effect.CONTESTED:
                step.contested = answer
            if host in record.todo and record.deadline_at - self.clock() <= needs:
                self._set_outcome(record, host, step, Outcome.UNKNOWN, answer, ReasonKind.NO_TIME)
        return self._after_answer(record, host, step)

    def restore(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        sent_at: Millis,
        open_before: int,
        look: ThingLook,
        attempt: AttemptId,
    ) -> Progress:
        """Record what a look showed after the decision to roll back; open `attempt` of the inverse (SEND)."""
        record = self._load(operation)
        if record is None or record.content is None or record.ended or host not in record.undo:
            return OVER
        if record.decision is not Decision.ROLL_BACK:
            return OVER
        step = record.steps[host]
        if step.fingerprint != fingerprint:
            return Progress(Forward.ELSEWHERE, fingerprint=step.fingerprint)
        if attempt in step.attempts:
            return SEND if step.attempts[attempt].is_open else OVER
        again = self._close_settled(record, host, step, sent_at)
        age = self.clock() - sent_at
        came = self._judge_restore(record, host, step, look, attempt, open_before, age)
        self._progressed(record)
        self._end_if_done(record)
        if isinstance(came, Progress):
            return came
        return Progress(came, again_at=again if came is Forward.SETTLE else None)

    def _judge_restore(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        look: ThingLook,
        attempt: AttemptId,
        were_open: int,
        age: int,
    ) -> Forward | Progress:
        assert record.content is not None
        opened, seen, trace = step.open_attempts(), look.digest, step.trace
        target = look.shows is Likeness.TARGET or seen == trace.as_seen
        closed = AttemptState.NOT_APPLIED
        undone = any(each.undo and each.state is not closed for each in step.attempts.values())
        like = look.like_before if undone and seen != step.over and not target else None
        if not step.landed or seen == trace.was or like is not None:
            if opened or were_open:
                return Forward.SETTLE
            step.lost = like or () if step.landed and seen != trace.was else ()
            step.trace = replace(trace, foreign=None)
            self._restore(record, host, step)
            return Forward.RESTORED
        if not target and look.shows is Likeness.OTHER and seen != trace.restore_over:
            if opened:
                return Forward.SETTLE
            step.trace = replace(trace, foreign=seen)
            step.reason, step.why = FOREIGN, ReasonKind.FOREIGN
            self._keep_text(record, look)
            return Forward.PERSON
        if any(each.undo and (each.started or record.content.once) for each in opened):
            return Forward.SETTLE
        busy = self._open_attempt(record, host, step, attempt, undo=True, age=age)
        if busy is not None:
            return busy
        step.over, step.trace = seen, replace(trace, foreign=None)
        return Forward.SEND

    def resolve(self, operation: OperationId, host: HostName, who: str) -> Refusal | None:
        """Have what was there before written over what the host showed last."""
        record = self._load(operation)
        step = record.steps.get(host) if record is not None else None
        if record is None or step is None:
            return Refusal.UNKNOWN
        if record.ended or step.trace.foreign is None or host not in record.undo:
            return Refusal.NOT_PENDING
        step.trace = replace(step.trace, restore_over=step.trace.foreign)
        record.waits[host] = self.clock()
        self._progressed(record)
        return None

    def _known_form(self, request: Request, host: HostRef) -> Digest | None:
        left = self.contents.get(request.group, {}).get(host.name)
        if left is None or request.content is None or left.form_of != request.content.target:
            return None
        return left.digest if left.fingerprint == host.fingerprint else None

    def _keep_text(self, record: Record, look: ThingLook) -> None:
        if look.text:
            record.texts[look.digest] = look.text

    def _suspect(self, record: Record, host: HostName, attempt: AttemptRecord) -> None:
        if record.content is None:
            super()._suspect(record, host, attempt)

    def _keep_ends(self, record: Record) -> None:
        if record.content is None:
            super()._keep_ends(record)
            return
        kept = self.contents.setdefault(record.group, {})
        for host, step in record.steps.items():
            digest: str | None = step.trace.was
            form_of: Digest | None = None
            if step.undo is Undo.ABANDONED:
                continue
            if record.decision is Decision.COMMIT:
                digest = step.trace.as_seen or record.content.target
                form_of = record.content.target if step.trace.as_seen else None
            if digest is not None:
                text = record.texts.get(digest)
                kept[host] = ThingEnd(
                    Digest(digest), record.id, self.clock(), step.fingerprint, text, form_of
                )
        record.texts.pop("secret", None)
