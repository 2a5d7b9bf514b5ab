"""After the decision: settle what may still land, and bring a touched host back to what it held before."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import Action, Decision, HostName, Millis, OperationId, Presence, Step
from lockstep.worker.operation.transitions import Forward, Settled, View
from lockstep.worker.steps.apply import (
    ELSEWHERE,
    NO_RECORD,
    NOT_IN_INVENTORY,
    WHY,
    LookFailed,
    Next,
    StepContext,
    StepResult,
    Try,
    effect_of,
)

QUICK_LOOKS = 5
"""So often an open attempt is looked at with short delays: most often its own task is about to close it."""
ROUNDS = 3
"""Looks in one run; each ends after a call or two, so that a run stays far below the visibility timeout."""
SETTLED = StepResult(Next.DONE, "settled", outcome="settled")
RESTORED = StepResult(Next.DONE, "restored", outcome="restored")
NOTHING_TO_UNDO = StepResult(Next.DONE, "nothing to undo")
LOOK_AGAIN = StepResult(Next.AGAIN, "another look is to tell what came of it")
IN_ROLLBACK = {Effect.CONTESTED: Effect.REFUSED, Effect.MISDIRECTED: Effect.UNKNOWN}
"""What comes of an inverse write where it is not what comes of any: there is no other end to it."""


@dataclass(frozen=True, slots=True)
class LookTry(Try):
    """One run of a step that looks at a host after its part in the operation has been read."""

    view: View
    step: Step

    def same_host(self) -> HostApi:
        """Return the host's API. Raises LookFailed where this worker must not talk to it."""
        api = self.context.host(self.host)
        if api is not None and api.fingerprint == self.step.fingerprint:
            return api
        if (meant := self.context.host_as(self.host, self.step.fingerprint)) is None:
            raise LookFailed(NOT_IN_INVENTORY if api is None else ELSEWHERE)
        return meant

    def look(self) -> tuple[HostApi, Presence, Settled]:
        """GET the group and record what it showed. Raises LookFailed."""
        assert self.view.group is not None
        api = self.same_host()
        answer = api.look_at_group(self.view.group)
        if (shown := answer.presence) is None:
            raise LookFailed(f"GET {answer.text}", WHY.get(answer.flaw))
        return api, shown, self.settle(shown)

    def settle(self, shown: Presence) -> Settled:
        """Record what a look showed that was sent after the step had been read."""
        opened = len(self.step.open_attempts)
        return self.context.store.settle(self.operation, self.host, self.view.now, opened, shown)

    def await_settling(self, again_at: Millis | None) -> StepResult:
        """Come back when the open attempts can be looked at again."""
        delay = max(0.0, ((again_at or self.view.now) - self.view.now) / 1000)
        if self.number <= QUICK_LOOKS:
            delay = min(delay, self.context.forward_backoff.ceiling(self.number))
        return self.wait(delay, "")

    def come_back(self, reason: str, why: ReasonKind | None = None) -> StepResult:
        """Count a try that brought nothing, and come back after a growing delay, for ever."""
        context = self.context
        delay = context.rollback_backoff.delay(self.step.undo_misses + 1, context.clock.jitter())
        return self.wait(delay, reason, context.clock.new_id(), why)


def raised_later(
    context: StepContext, operation: OperationId, host: HostName, reason: str, *, counted: bool = True
) -> StepResult:
    """Record that a step raised; the sweep comes back to it after the longest delay."""
    failed = context.clock.new_id() if counted else None
    context.store.postpone(operation, host, round(context.rollback_backoff.cap * 1000), reason, failed)
    return StepResult(Next.LATER, reason)


def settle(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
    """Look at a host once; its open attempts are closed by two looks, far enough apart."""
    view = context.store.view(operation, host)
    if view.action is None:
        return StepResult(Next.OVER, NO_RECORD)
    step = view.step
    if step is None or view.decision is None or not step.open_attempts:
        return SETTLED
    this = LookTry(context, operation, host, tries, view, step)
    order = context.filled(operation)
    try:
        if order is None:
            *_, settled = this.look()
        else:
            from lockstep.worker.steps import content

            content.look(this, order)
            settled = this.settle(Presence.PRESENT)
    except LookFailed as untold:
        return this.come_back(untold.reason, untold.why)
    return this.await_settling(settled.again_at) if settled.open else SETTLED


def rollback(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
    """Restore one host; `tries` counts this task's runs, from 1."""
    order = context.filled(operation)
    this: LookTry | None = None
    for _ in range(ROUNDS):
        view = context.store.view(operation, host)
        if view.action is None:
            return StepResult(Next.OVER, NO_RECORD)
        step = view.step
        if step is None or view.decision is not Decision.ROLL_BACK or not view.undo_needed:
            return RESTORED if step and step.undo.value == "restored" else NOTHING_TO_UNDO
        this = LookTry(context, operation, host, tries, view, step)
        try:
            if order is None:
                done = _restore(this)
            else:
                from lockstep.worker.steps import content

                done = content.restore(this, order)
        except LookFailed as untold:
            return this.come_back(untold.reason, untold.why)
        if done is not LOOK_AGAIN:
            return done
    return this.come_back("not restored yet") if this else NOTHING_TO_UNDO


def _restore(this: LookTry) -> StepResult:
    """Look, and send the inverse if need be. Raises LookFailed."""
    api, shown, settled = this.look()
    if settled.restored:
        return RESTORED
    before = this.step.before
    if before and shown is before.presence:
        # Without any the last open attempt has just been closed: one more GET proves it.
        return this.await_settling(settled.again_at) if settled.open else LOOK_AGAIN
    return _send(this, api, before.body if before else None)


def _send(this: LookTry, api: HostApi, body: str | None) -> StepResult:
    """Send the inverse: the group as it was, and bare where the host will not take its own back like that."""
    context, view = this.context, this.view
    assert view.group is not None
    assert view.action is not None
    inverse: Action = view.action.inverse
    lost: tuple[str, ...] = ()
    while True:
        attempt, may_send = context.clock.new_id(), context.may_send()
        begun = context.store.begin_undo(this.operation, this.host, api.fingerprint, attempt, view.now)
        if begun.next is Forward.BUSY:
            return this.in_line(begun.left, begun.reason)
        if begun.next is not Forward.SEND:
            return LOOK_AGAIN
        said = api.write(inverse, view.group, attempt, may_send, body)
        came = effect_of(api, view.group, inverse, said)
        effect = IN_ROLLBACK.get(came, came)
        kept = lost if effect in (Effect.APPLIED, Effect.UNSHOWN, Effect.UNKNOWN) else ()
        context.store.finish(this.operation, this.host, attempt, effect, said.text, lost_fields=kept)
        # While a write of ours is open, the host may contest that one.
        if body is None or came is not Effect.CONTESTED or this.step.open_attempts:
            break
        lost = tuple(sorted(set(json.loads(body)) - {"groupId"}))
        body = None  # better the bare group than none
    if effect in (Effect.APPLIED, Effect.ALREADY):
        return LOOK_AGAIN
    if effect is Effect.UNSHOWN:
        return this.come_back(f"{inverse} applied, and may not show yet")
    why = ReasonKind.UNREADABLE if said.unreadable else None
    return this.come_back(f"{inverse} {effect.value.replace('_', ' ')} ({said.text})", why)
