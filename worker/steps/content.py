"""Things with content: bring one host to what is asked, and back to what it held before, as looks show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from lockstep.worker.kinds import barred
from lockstep.worker.kinds.seal import Seal, SealKeys
from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.content import Content, Effect, Flaw, Id, Shown, Sight, WriteAnswer, read_json
from lockstep.worker.operation.errors import InvalidInput, ReasonKind
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import AttemptId, Outcome
from lockstep.worker.operation.thing import ABSENT, SECRET, Digest, Likeness, ThingLook, ThingRequest
from lockstep.worker.operation.transitions import Forward, Miss, Order
from lockstep.worker.operation.waves import Health
from lockstep.worker.steps.apply import MISSES, WHY, ForwardTry, LookFailed, Next, StepContext, StepResult
from lockstep.worker.steps.rollback import LOOK_AGAIN, NOTHING_TO_UNDO, RESTORED, LookTry

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind, Verb

ROUNDS = 3
"""Looks in one run, which stays far below the visibility timeout."""
FATAL: Mapping[Flaw | None, Outcome] = {Flaw.MISCONFIGURED: Outcome.UNREACHABLE}
SEALED = "this worker cannot open what is asked for"
SURE = (Effect.APPLIED, Effect.REPLACED, Effect.CONTESTED, Effect.STARTED)  # a look at once may tell more


class Thing:
    """One thing on one host: what is asked for it, and how its looks are read."""

    def __init__(self, kind: Kind, order: Order, asked: ThingRequest, seals: SealKeys) -> None:
        """Open what is asked for. Raises InvalidInput where this worker has not the key."""
        self.kind, self.asked = kind, asked
        self.id: Id = kind.parse(order.group)
        self.seal = seals.of(order.group, asked.seal) if asked.seal else Seal(order.group)
        self.target = None if asked.target == ABSENT else self.content(asked.texts.get(asked.target))
        sealed = asked.texts.get(SECRET)  # gone once the operation has ended
        self.secret = {} if sealed is None else cast(dict[str, object], read_json(self.seal.open(sealed)))
        self.inverse: Verb = "create" if self.target is None else "update"

    def content(self, text: str | None) -> Content:
        """Return the content that the record keeps. Raises InvalidInput."""
        if text is None:
            raise InvalidInput("its content is gone from the record")
        return Content.read(self.seal.open(text))

    def digest(self, content: Content | None) -> tuple[Digest, str]:
        """Return the digest of what a look showed, and its text as it is kept."""
        if content is None:
            return ABSENT, ""
        text = content.keeping(self.kind.kept_for(self.inverse)).text()
        return Digest(self.seal.digest(text)), self.seal.seal(text)

    def look(self, shown: Content | None, before: Content | None = None) -> ThingLook:
        """Return what a look showed, as the record is told of it; `before` in a rollback."""
        digest, text = self.digest(shown)
        shows = self.kind.meets(self.target, shown)
        asked = self.asked
        bars = barred(self.kind, asked.verb, self.target, shown, upsert=asked.upsert)
        return ThingLook(digest, shows, text, bars, self._like(before, shown))

    def _like(self, before: Content | None, shown: Content | None) -> tuple[str, ...] | None:
        if before is None or shown is None:
            return None
        kept = self.kind.kept_for(self.inverse)
        old, new = (
            {**each.values, **{f"kept {name}": value for name, value in each.keeping(kept).kept.items()}}
            for each in (before, shown)
        )
        differ = tuple(name for name in old if old[name] != new.get(name))
        fields = self.kind.fields
        only = all(name in before.values and fields[name].rewritten for name in differ)
        return differ if differ and (only or self.kind.definition.restore == "presence") else None

    def send(
        self,
        api: HostApi,
        attempt: AttemptId,
        may_send: MaySend,
        wanted: Content | None,
        shown: Content | None,
        keeps: Content | None,
        secret: Mapping[str, object],
    ) -> WriteAnswer:
        """Write what is wanted, and the kept values of `keeps`, over what a look has just shown."""
        kept = keeps.kept if keeps else {}
        verb: Verb = "delete" if wanted is None else "create" if shown is None else "update"
        try:
            content = None if wanted is None else wanted.over(shown)
            request = self.kind.request(verb, self.id, content=content, kept=kept, secret=secret, shown=shown)
        except InvalidInput as error:
            return WriteAnswer(Effect.REFUSED, f"not sent: {error}")
        hidden = self.kind.hidden(secret, wanted, shown, Content(kept=kept))
        return api.send(self.kind, verb, self.id, request, attempt, may_send, hidden)


def thing_of(context: StepContext, order: Order) -> Thing:
    """Return the thing as the record means it. Raises LookFailed where this worker lacks kind or key."""
    asked = order.content
    assert asked is not None
    try:
        kind = context.kind(asked)
    except InvalidInput:
        why = f"this worker lacks the definition of the kind: put {asked.title}.yaml back"
        raise LookFailed(why) from None
    try:
        return Thing(kind, order, asked, context.seals)
    except InvalidInput as error:
        raise LookFailed(f"{SEALED}: {error}") from None


def forward(this: ForwardTry, order: Order) -> StepResult:
    try:
        thing = thing_of(this.context, order)
    except LookFailed as untold:
        return this.unasked(untold.reason)
    if thing.asked.secret and not thing.secret:
        return this.unasked("its secret is gone from the record")
    return this.on_host(lambda api: _apply(this, thing, order, api))


def _apply(this: ForwardTry, thing: Thing, order: Order, api: HostApi) -> StepResult:
    context = this.context
    for _ in range(ROUNDS):
        shown = api.look_at_thing(thing.kind, thing.id)
        if not shown.tells:
            return _missed(this, api, shown)
        attempt, look = context.clock.new_id(), thing.look(shown.content)
        may_send = context.may_send(this.operation)
        about = (order.action, order.group, this.needs())
        begun = context.store.shown(this.operation, this.host, api.fingerprint, look, attempt, *about)
        if begun.next is not Forward.SEND:
            return this.came_to(begun, reason="it may not show yet")
        said = thing.send(
            api, attempt, may_send, thing.target, shown.content, keeps=shown.content, secret=thing.secret
        )
        needs = this.needs(said.retry_after)
        progress = context.store.finish(this.operation, this.host, attempt, said.effect, said.text, needs)
        if progress.next is not Forward.OPEN or said.effect not in SURE:
            return this.came_to(progress, said.retry_after, said.text)
    return StepResult(Next.AGAIN, "not settled yet", context.forward_backoff.delay(1, context.clock.jitter()))


def _missed(this: ForwardTry, api: HostApi, shown: Shown) -> StepResult:
    busy = shown.sight is Sight.BUSY
    return this.missed(
        api.fingerprint,
        f"in transition ({shown.text})" if busy else f"look {shown.text}",
        Miss.UNASKED if busy else MISSES.get(shown.flaw, Miss.ANSWERED),
        Outcome.REFUSED if shown.sight is Sight.OVERSIZED else FATAL.get(shown.flaw),
        WHY.get(shown.flaw),
        shown.retry_after,
    )


def look(this: LookTry, order: Order) -> tuple[Thing, HostApi, Shown]:
    """Look at the thing on the step's host. Raises LookFailed."""
    thing, api = thing_of(this.context, order), this.same_host()
    shown = api.look_at_thing(thing.kind, thing.id)
    if not shown.tells:
        raise LookFailed(f"look {shown.text}", WHY.get(shown.flaw))
    return thing, api, shown


def health(this: LookTry, order: Order, api: HostApi) -> tuple[Health, str]:
    """Tell how a host is at the gate: whether it shows the target, in its own form too."""
    try:
        thing = thing_of(this.context, order)
    except LookFailed as untold:
        return Health.UNWELL, untold.reason
    shown = api.look_at_thing(thing.kind, thing.id)
    if not shown.tells:
        return Health.UNWELL, f"look {shown.text}"
    seen, trace = thing.look(shown.content), this.step.trace
    if seen.shows is Likeness.TARGET or (trace and seen.digest == trace.as_seen):
        return Health.WELL, "shows what is asked for"
    return Health.UNWELL if this.step.open_attempts else Health.CHANGED, "shows what nobody asked for"


def restore(this: LookTry, order: Order) -> StepResult:
    """Look, and send the inverse if what is shown is ours. Raises LookFailed."""
    thing, api, shown = look(this, order)
    context, step = this.context, this.step
    was = step.trace.was if step.trace else None
    try:
        before = (
            None if was in (None, ABSENT) else thing.content(context.store.text(this.operation, str(was)))
        )
    except InvalidInput as error:
        raise LookFailed(f"{SEALED}: {error}") from None
    attempt, may_send = context.clock.new_id(), context.may_send()
    seen = this.view.now, len(step.open_attempts), thing.look(shown.content, before)
    came = context.store.restore(this.operation, this.host, api.fingerprint, *seen, attempt)
    match came.next:
        case Forward.RESTORED:
            return RESTORED
        case Forward.SETTLE:
            if came.again_at is None:
                return LOOK_AGAIN  # the last open attempt has just been closed: one more look proves it
            return this.await_settling(came.again_at)
        case Forward.BUSY:
            return this.in_line(came.left, came.reason)
        case Forward.PERSON:
            why = "it shows what neither was there nor is asked for: `lockstep resolve` says what is to be"
            return this.come_back(why, ReasonKind.FOREIGN)
        case Forward.SEND:
            pass
        case _:
            return NOTHING_TO_UNDO
    said = thing.send(api, attempt, may_send, before, shown.content, before, {})
    context.store.finish(this.operation, this.host, attempt, said.effect, said.text)
    if said.effect in SURE:
        return LOOK_AGAIN
    return this.come_back(f"undo {said.effect.replace('_', ' ')} ({said.text})")
