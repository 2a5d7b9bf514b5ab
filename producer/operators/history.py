"""What happened: an operation's timeline, past operations, and those that do not move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptState,
    HostName,
    Loss,
    Millis,
    OperationId,
    Outcome,
    Stage,
    State,
    Status,
    Step,
    Undo,
)
from lockstep.worker.operation.names import NAMED, named, seconds
from lockstep.worker.operation.story import call
from lockstep.worker.operation.waves import told_moment

if TYPE_CHECKING:
    from lockstep.worker.record.link import OperationBrief

MEANINGS = {
    AttemptState.OPEN: "its fate is not known yet",
    AttemptState.APPLIED: "it took effect",
    AttemptState.NOT_APPLIED: "it had no effect",
    AttemptState.SETTLED: "it can no longer take effect: what the host showed since is what counts",
    AttemptState.ABANDONED: "given up by a person before its fate was known",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One moment of an operation; of a write if `attempt` is set, else of the operation itself."""

    at: Millis
    what: str
    """What was sent (see `call`), or for the operation itself `accepted`, `decided`, `ended`; with waves also
    `wave 2 opened`, `wave 2 done`, `gate, round 2`, `passed, round 2`, `held` and `released`, or `gate` of a
    host."""
    host: HostName | None = None
    attempt: Attempt | None = None
    said: str | None = None
    """What came back; of the operation itself by whom, what and why. None when nothing is recorded."""

    @property
    def took(self) -> Millis | None:
        """Milliseconds until the fate of the write was known."""
        if self.attempt is None or self.attempt.closed_at is None:
            return None
        return Millis(self.attempt.closed_at - self.attempt.opened_at)


Methods = Mapping[str, str]
"""What the kind of a thing sends, by create, update and delete: see `call`."""
NO_METHODS: Methods = MappingProxyType({})


def timeline(operation: Status, steps: Iterable[Step], methods: Methods = NO_METHODS) -> tuple[Event, ...]:
    """Return everything that the record knows, by time."""
    events = [Event(operation.created_at, "accepted", said=f"by {operation.created_by}")]
    undone: list[Event] = []
    changed = set()
    for step in steps:
        changed |= {step.wave} if step.outcome is Outcome.APPLIED else set()
        for attempt in step.attempts:
            what = call(operation.action, step, attempt, methods)
            of = undone if attempt.undo else events
            of.append(Event(attempt.opened_at, what, step.host, attempt, attempt.answer))
        if step.gate is not None:
            events.append(Event(step.gate.at, "gate", step.host, said=step.gate.said))
    for moment in operation.rollout.moments if operation.rollout else ():
        text = f"by {moment.said}" if moment.said else None
        if moment.what == "done" and moment.number not in changed:
            text = "it changed nothing: not baked, and no proof for the others"
        events.append(Event(moment.at, told_moment(moment), said=text))
    if operation.decided_at is not None:
        decided = str(operation.decision).replace("_", " ")
        why = f": {operation.reason}" if operation.reason else ""
        events.append(Event(operation.decided_at, "decided", said=f"{decided}{why}"))
    events += undone  # of one millisecond too: no write is undone before the decision
    if operation.ended_at is not None:
        events.append(Event(operation.ended_at, "ended", said=str(operation.state)))
    return tuple(sorted(events, key=attrgetter("at")))


def last_moment(operation: Status, steps: Iterable[Step]) -> Millis:
    """Return the latest time that the record knows of, at which a picture of it may end."""
    known = [operation.created_at, operation.decided_at, operation.ended_at]
    for step in steps:
        for attempt in step.attempts:
            known += [attempt.opened_at, attempt.closed_at, attempt.probed_at, attempt.answered_at]
    return max(each for each in known if each is not None)


FIRST_PAGE = 100
PAGE = 1000
"""Operations looked at in one round trip: few for a common match, more for a rare one."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What an operation must be; everything that is set must hold."""

    group: str | None = None
    """A pattern: `team-*`."""
    by: str | None = None
    """A pattern for who asked: `alice@*`."""
    action: Action | None = None
    states: frozenset[State] = frozenset()
    """One of these; empty for any."""
    since: Millis | None = None
    until: Millis | None = None

    def matches(self, operation: OperationBrief | Status) -> bool:
        return (
            (self.group is None or fnmatchcase(operation.group, self.group))
            and (self.by is None or fnmatchcase(operation.created_by, self.by))
            and (self.action is None or operation.action == self.action)
            and (not self.states or operation.state in self.states)
            and (self.since is None or operation.created_at >= self.since)
            and (self.until is None or operation.created_at < self.until)
        )


def search(
    briefs: Callable[[Millis | None, Millis | None, int, int], Sequence[OperationBrief]],
    read: Callable[[OperationId], Status | None],
    wanted: Filter,
    limit: int,
) -> Iterator[Status]:
    """Yield at most `limit` operations that match, newest first; only these are read as a whole.

    One that is accepted meanwhile moves the others on by a place: none is told twice.
    """
    told: set[str] = set()
    offset, size = 0, FIRST_PAGE
    while page := briefs(wanted.since, wanted.until, size, offset):
        for brief in page:
            if brief.id in told or not wanted.matches(brief):
                continue
            operation = read(brief.id)
            if operation is not None and wanted.matches(operation):
                told.add(brief.id)
                yield operation
                if len(told) == limit:
                    return
        offset, size = offset + size, PAGE


UNSWEPT = 60_000
"""Milliseconds after the deadline by which any sweep that runs has had the operation rolled back."""
HELD_FOR_LONG = 3_600_000
"""Milliseconds of a hold after which somebody may have forgotten it."""
SLOW = 300_000
"""Milliseconds after the decision by which reachable hosts are restored, and their late writes settled: a
host is asked once a minute at the least, and five tries without an answer make it a stalled one."""
NO_WORKER = "lockstep doctor  # tells whether beat and workers of both queues run"


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why an operation does not end by itself, and what to type."""

    why: str
    advice: tuple[str, ...]
    """One thing each, the one to try first first."""


def advised(found: Stuck, operation: OperationId, steps: Iterable[Step]) -> Stuck:
    """Say first of hosts that cannot be read, or show what somebody else wrote: waiting mends neither."""
    remedies = {
        ReasonKind.UNREADABLE: "lockstep probe {0.host}  # it answers, but not so that it can be read "
        "({0.reason}): mend what it, or a proxy before it, sends; until then it counts as giving no answer",
        ReasonKind.FOREIGN: "lockstep resolve {1} {0.host} --restore  # or --leave: "
        "somebody else has changed it",
    }
    waiting = [step for step in steps if step.undo is Undo.NEEDED or step.open_attempts]
    advice = [remedies[step.why].format(step, operation) for step in waiting if step.why in remedies]
    return replace(found, advice=(*advice[:NAMED], *found.advice))


def stuck(operation: Status, now: Millis) -> Stuck | None:
    """Tell what a person has to do for an operation; None if it goes on, or ends, without one."""
    if operation.ended:
        return None
    key, rollout = operation.id, operation.rollout
    if operation.decided_at is None and rollout is not None and rollout.hold is not None:
        held = now - rollout.hold.since
        if held < HELD_FOR_LONG:
            return None
        return Stuck(
            f"held {seconds(held)} by {rollout.hold.who}: {rollout.hold.why}",
            (
                f"lockstep promote {key}  # it goes on with its next wave, or commits",
                f'lockstep cancel {key} --reason "…"  # every wave is undone',
            ),
        )
    if operation.decided_at is None:
        ends, what = operation.deadline_at, "its deadline"
        if rollout is not None and rollout.stage is Stage.BAKING:
            ends, what = rollout.bake_until or now, "its bake"
        late = now - ends
        if late < UNSWEPT:
            return None
        return Stuck(f"undecided {seconds(late)} after {what}: nobody sweeps", (NO_WORKER,))
    waiting = now - operation.decided_at
    pending, stalled = operation.pending_hosts, operation.stalled_hosts
    if operation.state is State.ROLLING_BACK and pending:
        if pending == stalled:
            return Stuck(
                f"{named(stalled)} cannot be restored",
                (
                    f"lockstep status {key}  # tells why: mend the host, and it is restored by itself",
                    f'lockstep abandon {key} {stalled[0]} --reason "…"  # only if it is gone for good',
                ),
            )
        if waiting < SLOW:
            return None
        return Stuck(f"{named(pending)} not restored {seconds(waiting)} after the decision", (NO_WORKER,))
    if operation.settling and waiting >= SLOW:
        why = "a host that was written to gives no answer"
        return Stuck(
            f"still settling {seconds(waiting)} after the decision: {why}",
            (
                f"lockstep status {key}  # names the host: mend it, then it ends by itself",
                f'lockstep abandon {key} HOST --reason "…"  # only if it is gone for good',
            ),
        )
    return None


def unrecorded(lost: Loss) -> Stuck:
    """Tell what a person has to do for an operation whose record is gone."""
    return Stuck(
        "its record is gone: hosts may have been changed, and nothing carries it on",
        (
            f"lockstep drift {lost.id}  # asks the hosts what they hold of it",
            f"lockstep create {lost.group}  # or delete, or apply FILE: brings the hosts to one state",
        ),
    )
