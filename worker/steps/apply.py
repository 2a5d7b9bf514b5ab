"""Apply: bring one host to what the operation asks for; with what every step works with and comes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.answer import METHODS, HostApi, LookVerdict, in_time
from lockstep.worker.operation.content import Effect, Flaw, WriteAnswer
from lockstep.worker.operation.errors import InvalidInput, ReasonKind
from lockstep.worker.operation.host import Backoff, Clock, Limits, MaySend
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.store import Store
from lockstep.worker.operation.story import story
from lockstep.worker.operation.thing import ThingRequest
from lockstep.worker.operation.transitions import Forward, Miss, Order, Progress

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind

NOT_IN_INVENTORY = "this worker's inventory lacks the host"
NO_RECORD = "no record of this operation"
ELSEWHERE = "this worker's inventory has another URL for the host"


class Next(StrEnum):
    """What is to become of a task after its step."""

    DONE = "done"
    FAILED = "failed"
    """The step failed for good, so its operation is rolled back: `conclude` is to run at once."""
    OVER = "over"
    AGAIN = "again"
    """Run the step again after `delay` seconds."""
    LATER = "later"
    """The wait is kept in the record; the sweep comes back to it."""
    ELSEWHERE = "elsewhere"
    """Nothing yet: another address was asked than the record means. No step ends with it."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to; `text` is for people."""

    next: Next
    text: str
    delay: float = 0.0
    outcome: str = ""
    """One word of a few, to be counted by; empty if `next` says it."""
    story: str | None = None
    """What happened to the host, where the step knows it without asking the record."""
    fingerprint: str | None = None
    """ELSEWHERE: of the host's URL in the record."""


class LookFailed(Exception):
    """A look told nothing, or this worker cannot look; it says why."""

    def __init__(self, reason: str, why: ReasonKind | None = None) -> None:
        self.reason, self.why = reason, why


def no_kind(asked: ThingRequest) -> Kind:
    raise InvalidInput(f"kind {asked.kind} is not known")


@dataclass(frozen=True, slots=True)
class StepContext:
    store: Store
    host: Callable[[HostName], HostApi | None]
    clock: Clock
    limits: Limits
    forward_backoff: Backoff
    rollback_backoff: Backoff
    retry_after_cap: float
    """Seconds."""
    host_to_apply: Callable[[HostName], HostApi | None]
    """Hosts as forward steps see them: one that does not answer is spared."""
    order: Callable[[OperationId], Order | None] = lambda _: None
    """What an operation is about, read once; asked for those of things with content."""
    kind: Callable[[ThingRequest], Kind] = no_kind
    """The kind of such a thing, by its definition. Raises InvalidInput where this worker lacks it."""
    seals: SealKeys = field(default_factory=SealKeys)
    """The keys of what is sealed of it."""
    decided: Callable[[OperationId], int] = lambda _: 0
    """How often steps of this process were told that an operation is decided."""
    host_as: Callable[[HostName, str | None], HostApi | None] = lambda *_: None
    """Asked when this worker does not know a host as the record does: reads the inventory anew, and returns
    the host that has this fingerprint, or had it until lately (None: whatever it is)."""

    def filled(self, operation: OperationId) -> Order | None:
        """What an operation on a thing with content is about; None for one on a group."""
        order = self.order(operation)
        return None if order is None or order.content is None else order

    def may_send(self, forward: OperationId | None = None) -> MaySend:
        """Return the guard of a write whose attempt is about to be opened.

        Its time is counted from now. One that goes forward is not sent either if another step is told
        meanwhile that the operation is decided; what was told before may be about one of the same id.
        """
        still = in_time(self.clock, self.limits.send_within / 1000)
        if forward is None:
            return still
        told = self.decided(forward)
        return lambda: still() and self.decided(forward) == told

    @property
    def longest_countdown(self) -> float:
        """Seconds; a longer wait is kept in the record."""
        return self.limits.longest_countdown / 1000


def effect_of(api: HostApi, group: GroupId, action: Action, said: WriteAnswer) -> Effect:
    """Return what came of a write; a contested one is looked into with a GET."""
    if said.effect is Effect.APPLIED and said.shows_after:
        return Effect.UNSHOWN
    if said.effect is not Effect.CONTESTED:
        return said.effect
    shown = api.look_at_group(group).presence
    if shown is None:
        return Effect.NOT_APPLIED  # the host answered that it did nothing; the next GET tells why
    return Effect.ALREADY if shown is action.target else Effect.CONTESTED


MISSES: Mapping[Flaw | None, Miss] = {Flaw.SILENT: Miss.UNUSABLE, Flaw.UNREADABLE: Miss.UNUSABLE}
"""What a look that told nothing says of its host; any other counts as answered."""
WHY: Mapping[Flaw | None, ReasonKind] = {Flaw.UNREADABLE: ReasonKind.UNREADABLE}
FATAL = {LookVerdict.MISCONFIGURED: Outcome.UNREACHABLE, LookVerdict.OVERSIZED: Outcome.REFUSED}
SLACK = 0.2
"""Seconds beside a try itself: for its message, and for having the record say what came of it."""


@dataclass(frozen=True, slots=True)
class Try:
    context: StepContext
    operation: OperationId
    host: HostName
    number: int
    """Of the runs of this task, from 1."""

    def wait(
        self, delay: float, reason: str, failed: AttemptId | None = None, why: ReasonKind | None = None
    ) -> StepResult:
        """Come back after `delay` seconds: by a countdown of Celery's if short, else by the sweep.

        `failed` names a try that brought nothing: it is counted, and its reason is what people are shown.
        """
        later = delay > self.context.longest_countdown
        if later or failed:
            kept = round(delay * 1000) if later else None
            self.context.store.postpone(self.operation, self.host, kept, reason, failed, why)
        if later:
            return StepResult(Next.LATER, reason if failed else f"waits {delay:.0f} s in the record", delay)
        return StepResult(Next.AGAIN, reason or "trying again", delay)

    def in_line(self, left: int, reason: str | None) -> StepResult:
        """Come back when it is this host's turn, in `left` ms; 0 if others send for it."""
        if not left:
            return StepResult(Next.LATER, reason or "waits for its turn")
        return self.wait(left / 1000, reason or "")


@dataclass(frozen=True, slots=True)
class ForwardTry(Try):
    action: Action
    started: float
    """By the clock's `elapsed`."""

    def missed(
        self,
        fingerprint: str,
        reason: str,
        miss: Miss,
        fatal: Outcome | None = None,
        why: ReasonKind | None = None,
        retry_after: float | None = None,
    ) -> StepResult:
        """Record that a look told nothing, as `Store.missed` says; go on as the record says."""
        about = self.operation, self.host, fingerprint, self.context.clock.new_id()
        needs = self.needs(retry_after)
        said = self.context.store.missed(*about, reason, miss, fatal=fatal, needs=needs, why=why)
        return self.came_to(said, retry_after, reason)

    def unasked(self, reason: str) -> StepResult:
        """Hand the step back, for a worker that knows the host; it costs the operation nothing but time."""
        return self.missed("", reason, Miss.UNASKED)

    def on_host(self, apply: Callable[[HostApi], StepResult]) -> StepResult:
        """Apply on the host that the record means; one that this worker knows otherwise is looked up anew."""
        context = self.context
        api = context.host_to_apply(self.host) or context.host_as(self.host, None)
        if api is None:
            return self.unasked(NOT_IN_INVENTORY)
        came = apply(api)
        if came.next is Next.ELSEWHERE and (meant := context.host_as(self.host, came.fingerprint)):
            came = apply(meant)  # what came of the other address counts for nothing
        return self.unasked(ELSEWHERE) if came.next is Next.ELSEWHERE else came

    def took(self) -> float:
        """Return the seconds that a try like this one takes."""
        return self.context.clock.elapsed() - self.started + SLACK

    def asked_to_wait(self, retry_after: float | None) -> float:
        """Return the seconds that the host wants to be left alone for, as far as it is listened to."""
        return min(retry_after or 0.0, self.context.retry_after_cap)

    def needs(self, retry_after: float | None = None) -> int:
        """Return the milliseconds that another try needs, with the wait that its host asks for."""
        return math.ceil(1000 * (self.took() + self.asked_to_wait(retry_after)))

    def came_to(self, progress: Progress, retry_after: float | None = None, reason: str = "") -> StepResult:
        match progress.next:
            case Forward.DONE:
                assert progress.step is not None
                came, happened = str(progress.outcome), story(self.action, progress.step, None)
                return StepResult(Next.DONE, came, outcome=came, story=happened.text)
            case Forward.FAILED:
                return StepResult(Next.FAILED, progress.reason or "failed", outcome=str(progress.outcome))
            case Forward.BUSY:
                return self.in_line(progress.left, progress.reason)
            case Forward.OPEN | Forward.MISSED:
                # The last try still has its time before the deadline.
                delay = self.context.forward_backoff.delay(self.number, self.context.clock.jitter())
                latest = progress.left / 1000 - self.took()
                return self.wait(min(max(self.asked_to_wait(retry_after), delay), latest), reason)
            case Forward.NOT_OPEN:
                return StepResult(Next.DONE, "its wave is not open", outcome="not_open")
            case Forward.ELSEWHERE:
                return StepResult(Next.ELSEWHERE, ELSEWHERE, fingerprint=progress.fingerprint)
        return StepResult(Next.OVER, "nothing to do: the operation is decided, has ended, or is another one")


def forward(
    context: StepContext, operation: OperationId, group: GroupId, action: Action, host: HostName, tries: int
) -> StepResult:
    """Bring one host to what the action asks for; `tries` counts this task's runs, from 1."""
    this = ForwardTry(context, operation, host, tries, action, context.clock.elapsed())
    order = context.filled(operation)
    if order is not None:
        from lockstep.worker.steps import content

        return content.forward(this, order)
    return this.on_host(lambda api: _apply(this, api, group))


def _apply(this: ForwardTry, api: HostApi, group: GroupId) -> StepResult:
    context, operation, host, action = this.context, this.operation, this.host, this.action
    answer = api.look_at_group(group)
    seen = answer.seen
    if action is Action.CREATE and answer.verdict is LookVerdict.OVERSIZED:
        seen = Seen(Presence.PRESENT)  # as asked already; only a delete would need its body
    if seen is None:
        return this.missed(
            api.fingerprint,
            f"GET {answer.text}",
            MISSES.get(answer.flaw, Miss.ANSWERED),
            FATAL.get(answer.verdict),
            WHY.get(answer.flaw),
            answer.retry_after,
        )
    attempt, may_send = context.clock.new_id(), context.may_send(operation)
    begun = context.store.begin(
        operation, host, api.fingerprint, seen, attempt, action, group, age=this.needs()
    )
    if begun.next is not Forward.SEND:
        return this.came_to(begun)
    said = api.write(action, group, attempt, may_send)
    effect = effect_of(api, group, action, said)
    needs = this.needs(said.retry_after)
    progress = context.store.finish(operation, host, attempt, effect, said.text, needs)
    return this.came_to(progress, said.retry_after, f"{METHODS[action]} {said.text}")


def raised(
    context: StepContext, operation: OperationId, action: Action, host: HostName, reason: str
) -> StepResult:
    """Record that a step raised: what became of its host is unknown, and the operation is rolled back."""
    this = ForwardTry(context, operation, host, 1, action, context.clock.elapsed())
    return this.missed("", reason, Miss.UNASKED, Outcome.UNKNOWN)
