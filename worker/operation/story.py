"""What an operation came to, as its caller is told it, and what happened to each host, told from its step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from lockstep.worker.operation.answer import METHODS
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    GroupId,
    HostName,
    Millis,
    Moment,
    OperationId,
    Outcome,
    Presence,
    RolloutState,
    State,
    Status,
    Step,
    Undo,
)
from lockstep.worker.operation.transitions import Refusal

IN_BRIEF = {True: "changed", False: "not changed", None: "perhaps changed"}
ENDS = {Undo.RESTORED: "undone", Undo.NEEDED: "to be undone", Undo.ABANDONED: "given up"}
WHEN = {
    False: " before the decision",
    True: " after the decision",
    None: ", before or after the decision is not known",
}
CLEAR = (AttemptState.APPLIED, AttemptState.NOT_APPLIED)


class Proof(StrEnum):
    """How it is known that a host is as it was before."""

    ANSWER = "answer"
    """It confirmed the write that undid the change, and no other write was on its way."""
    LOOK = "look"
    """A GET showed it, when no write could land any more."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to one host."""

    changed: bool | None
    """Whether the operation changed it, at whatever time; None while a write of unknown fate may have."""
    changed_by: AttemptId | None
    """The write that did; None if none did, or if it can be several."""
    changed_late: bool | None
    """Whether the host confirmed the change after the decision; None if there is none, or it is not known."""
    undone: Proof | None
    """How it is known that the change is undone; None where it is not, or nothing was changed."""
    text: str
    """All of it in a sentence."""


def call(
    action: Action, step: Step, attempt: Attempt, methods: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the HTTP method of an attempt.

    `methods` are those of a thing's kind by create, update and delete; that word, where it has none.
    """
    verb: str = action.inverse if attempt.undo else action
    if step.trace is None:
        return METHODS[Action(verb)]
    if action is Action.CREATE and step.before and step.before.presence is Presence.PRESENT:
        verb = "update"
    return methods.get(verb, str(verb))


def story(action: Action, step: Step, decided_at: Millis | None) -> Story:
    """Tell what happened to a host; `decided_at` is None while the operation is undecided."""
    writes = [attempt for attempt in step.attempts if not attempt.undo]
    undos = [attempt for attempt in step.attempts if attempt.undo]
    # An inverse is only sent once a GET has shown the change.
    shown = step.outcome is Outcome.APPLIED or bool(undos)
    restored = step.undo is Undo.RESTORED
    sure = next((attempt for attempt in writes if attempt.state is AttemptState.APPLIED), None)
    unclear = [attempt for attempt in writes if attempt.state not in CLEAR]
    if sure is None and not shown:
        settled = restored and all(attempt.state is AttemptState.SETTLED for attempt in unclear)
        if not unclear or settled:
            text = _unchanged(action, step, writes, unclear, decided_at)
            return Story(False, None, None, None, text)
        return Story(None, None, None, None, _in_doubt(step, writes, unclear, decided_at))
    by = sure or (unclear[0] if len(unclear) == 1 else None)
    late = _late(sure, step, decided_at)
    when = "" if decided_at is None else WHEN[late]
    told = [f"changed by {_name(writes, [by] if by else unclear)}{when}"]
    if sure is None and unclear:
        told.append(f"({_said(unclear[-1])}; a look showed it)")
    proof = _proof(step, undos) if restored else None
    return Story(
        True, by.id if by else None, late, proof, " ".join(told) + _undone(action, step, undos, proof)
    )


def in_brief(told: Story, step: Step) -> str:
    """Return a story in two or three words, where there is little room: `changed, undone`."""
    end = ENDS.get(step.undo) if told.changed is not False else None
    return IN_BRIEF[told.changed] + (f", {end}" if end else "")


def _late(sure: Attempt | None, step: Step, decided_at: Millis | None) -> bool | None:
    """A host without an outcome was still at work when it was decided; its answer tells when it was done."""
    if decided_at is None or step.outcome is Outcome.APPLIED:
        return False
    if sure is None:
        return None
    known_at = sure.answered_at or sure.closed_at
    return known_at is not None and known_at > decided_at


def _proof(step: Step, undos: Sequence[Attempt]) -> Proof:
    last = undos[-1] if undos else None
    if last is None or not last.clean or last.state is not AttemptState.APPLIED:
        return Proof.LOOK
    closed = last.closed_at or 0
    return Proof.ANSWER if all((each.closed_at or 0) <= closed for each in step.attempts) else Proof.LOOK


def _undone(action: Action, step: Step, undos: Sequence[Attempt], proof: Proof | None) -> str:
    match step.undo:
        case Undo.RESTORED if proof is Proof.ANSWER:
            return f", undone: {call(action, step, undos[-1])} answered {_said(undos[-1])}"
        case Undo.RESTORED:
            return ", undone: a look showed it as before"
        case Undo.NEEDED:
            return ", to be undone"
        case Undo.ABANDONED:
            return ", given up before it was undone"
    late = any(each.state is AttemptState.OPEN for each in step.attempts)
    return ", a write of it may still land" if late else ""


def _unchanged(
    action: Action,
    step: Step,
    writes: Sequence[Attempt],
    unclear: Sequence[Attempt],
    decided_at: Millis | None,
) -> str:
    if step.outcome is Outcome.UNCHANGED:
        return f"not changed: it was {action.target} before"
    if unclear:
        return f"not changed: looks proved that {_name(writes, unclear)} ({_said(unclear[-1])}) had no effect"
    if writes:
        none = "its write had no" if len(writes) == 1 else f"none of its {len(writes)} writes had an"
        had = f"{none} effect ({_said(writes[-1])})"
        waits = ", to be confirmed by a look" if step.undo is Undo.NEEDED else ""
        return f"not changed: {had}{waits}"
    done = decided_at is not None or step.outcome is not None
    return "not changed: nothing was sent" if done else "nothing sent yet"


def _in_doubt(
    step: Step, writes: Sequence[Attempt], unclear: Sequence[Attempt], decided_at: Millis | None
) -> str:
    name = _name(writes, unclear)
    if decided_at is None and step.outcome is None and unclear[-1].answer is None:
        return f"{name} is under way"
    given_up = ", given up before that was known" if step.undo is Undo.ABANDONED or step.abandoned_at else ""
    waits = ", to be undone" if step.undo is Undo.NEEDED else ""
    return f"perhaps changed by {name} ({_said(unclear[-1])}){waits}{given_up}"


def _name(writes: Sequence[Attempt], those: Sequence[Attempt]) -> str:
    """Name writes by their places among all: `its write`, `write 2 of 3`, `writes 1 or 3 of 3`."""
    if len(writes) == 1:
        return "its write"
    if len(those) == len(writes):
        return f"one of its {len(writes)} writes" if writes else "no write that is known"
    places = [str(n) for n, attempt in enumerate(writes, 1) if attempt in those]
    return f"write{'s' if len(places) > 1 else ''} {' or '.join(places)} of {len(writes)}"


def _said(attempt: Attempt) -> str:
    return attempt.answer or "no answer"


@dataclass(frozen=True, slots=True)
class HostResult:
    """What became of one host."""

    host: HostName
    before: Presence | None
    """What it held before; None if it never gave a usable answer."""
    outcome: Outcome | None
    """None when the operation was decided before this host was done."""
    undo: Undo
    attempts: int
    """How many writes were sent, or may have been, the undoing ones included."""
    reason: str | None
    due_at: Millis | None
    """When it is asked again; None when no wait is recorded."""
    lost_fields: tuple[str, ...]
    """Fields of a deleted group that the host refused to take back."""
    wave: int
    """1 without waves."""
    gate: str | None
    """What the last look of the gate showed."""
    story: Story
    """What happened to the host: `story.text` tells it, `story.changed` whether the operation changed it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation came to when its caller was answered."""

    operation_id: OperationId
    group: GroupId
    state: State
    """`rolling_back` means: every host that answers is restored, `pending_hosts` are retried for ever."""
    reason: str | None
    """Why it was rolled back."""
    pending_hosts: tuple[HostName, ...]
    """Hosts that are still to be restored."""
    hosts: tuple[HostResult, ...]
    course: tuple[Moment, ...] = ()
    """With waves: when each began, and who held it and let it go on, and why; by time."""

    @property
    def committed(self) -> bool:
        """True when every host is as asked."""
        return self.state is State.COMMITTED


def answered(operation: Status) -> bool:
    """Tell whether a caller need wait no longer: it is done, or only hosts that are away are left."""
    if operation.ended or operation.state is State.COMMITTED:
        return True
    pending = operation.pending_hosts
    return operation.state is State.ROLLING_BACK and bool(pending) and pending == operation.stalled_hosts


def result_of(operation: Status, steps: Iterable[Step]) -> Result:
    return Result(
        operation_id=operation.id,
        group=operation.group,
        state=operation.state,
        reason=operation.reason,
        pending_hosts=operation.pending_hosts,
        hosts=tuple(host_result(operation, step) for step in steps),
        course=operation.rollout.moments if operation.rollout else (),
    )


def host_result(operation: Status, step: Step) -> HostResult:
    return HostResult(
        host=step.host,
        before=step.before.presence if step.before else None,
        outcome=step.outcome,
        undo=step.undo,
        attempts=len(step.attempts),
        reason=step.reason,
        due_at=step.due_at,
        lost_fields=step.lost_fields,
        wave=step.wave,
        gate=step.gate.said if step.gate else None,
        story=story(operation.action, step, operation.decided_at),
    )


NOT_HELD = {
    Refusal.NO_WAVES: "it has no waves; cancel it instead, or create it with waves",
    Refusal.COMMITTED: "it is committed",
    Refusal.ROLLING_BACK: "it is rolled back",
    Refusal.FREE: "nobody holds it",
    Refusal.ALREADY: "nobody holds it",
    Refusal.OTHER: "that hold is not on it",
}


def not_held(said: Refusal, rollout: RolloutState | None) -> str:
    """Return why an operation cannot be held or promoted: where another hold is on it, whose, since when."""
    hold = rollout.hold if rollout else None
    if said is Refusal.OTHER and hold is not None:
        return f"hold {hold.number} is on it, by {hold.who} since {local(hold.since)}: {hold.why}"
    return NOT_HELD[said]
