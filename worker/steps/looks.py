"""Looks at hosts on which nothing is to be done: the gate between waves, and the patrol.

The gate looks at each host of the open waves once more before the next wave opens. The patrol compares the
hosts of a group with what the last ended operations left there.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.drift import Drift, End, explains, next_patrol
from lockstep.worker.operation.errors import HostPaused
from lockstep.worker.operation.model import (
    Action,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Outcome,
    Presence,
)
from lockstep.worker.operation.transitions import Accepted, Request
from lockstep.worker.operation.waves import GateVerdict, Health
from lockstep.worker.steps import content
from lockstep.worker.steps.apply import NO_RECORD, LookFailed, Next, StepContext, StepResult
from lockstep.worker.steps.rollback import LookTry

AGAIN = 1.0
"""Seconds between two looks at one host, at least: so far apart must those be that count."""
PATROL = "patrol"
"""Who asked for a repair, as the record has it."""


def gate(context: StepContext, operation: OperationId, host: HostName, tries: int) -> StepResult:
    """Look at one host, which must show what was asked; a worker that does not know it counts nothing."""
    view = context.store.view(operation, host)
    if view.step is None:
        return StepResult(Next.OVER, NO_RECORD)
    if view.gating is None:
        return StepResult(Next.DONE, "passed, or the gate is closed", outcome="ignored")
    again = AGAIN + context.forward_backoff.delay(tries, context.clock.jitter())
    this = LookTry(context, operation, host, tries, view, view.step)
    try:
        api = this.same_host()
    except LookFailed as untold:
        return StepResult(Next.AGAIN, untold.reason, again)
    order = context.filled(operation)
    if order is None:
        health, said = _health(this, api)
    else:
        health, said = content.health(this, order, api)
    if health is None:
        return StepResult(Next.AGAIN, said, again)
    look = context.clock.new_id()
    match context.store.gate_seen(operation, host, view.gating, view.now, look, health, said):
        case GateVerdict.PASSED:
            return StepResult(Next.DONE, f"passed the gate: {said}", outcome="passed")
        case GateVerdict.FAILED:
            return StepResult(Next.FAILED, f"failed at the gate: {said}", outcome="failed")
        case GateVerdict.AGAIN:
            return StepResult(Next.AGAIN, said, again)
    return StepResult(Next.DONE, "the round is over", outcome="ignored")


def _health(this: LookTry, api: HostApi) -> tuple[Health | None, str]:
    """Tell how a host is by what it shows of a group; None if that says nothing yet."""
    assert this.view.group is not None
    assert this.view.action is not None
    answer = api.look_at_group(this.view.group)
    shown = answer.presence  # a body over the cap will do: only undoing a delete would need it
    if shown is None:
        return Health.UNWELL, f"GET {answer.text}"
    if shown is not this.view.action.target:
        if this.step.open_attempts:
            return None, f"shows {shown}, while a write may show yet"
        return Health.CHANGED, f"shows {shown}, as nobody asked"
    path = this.step.health
    if path and this.step.outcome is Outcome.APPLIED and (bad := api.unwell(path)):
        return Health.UNWELL, f"GET {path} {bad}"
    return Health.WELL, f"shows {shown}"


@dataclass(frozen=True, slots=True)
class PatrolTimes:
    """The patrol's times, in milliseconds."""

    every: int
    longest: int
    """Between two looks at one group."""
    watched: int
    """From the last write of unknown fate until a group is no longer patrolled."""
    repair: int
    """Drift that such a write of so short ago explains is repaired."""
    budget: int
    """One look at a group goes on to the next host no longer than this."""
    deadline: int
    """Of a repair."""


@dataclass(frozen=True, slots=True)
class PatrolResult:
    drifts: tuple[Drift, ...] = ()
    new: tuple[Drift, ...] = ()
    """Those that were not known before."""
    repairs: tuple[Request, ...] = ()
    """What brings drifted hosts back: it is recorded, and to be published."""
    asked: int = 0
    """Hosts that were called."""
    answered: int = 0
    """Of those, hosts whose answer told what they hold."""
    strange: int = 0
    """Hosts that were not called, for this worker does not know them, or by another URL."""
    late: int = 0
    """Hosts that were not called, for the time of a look was over."""
    why_not: str = "no host was asked: this worker knows none of the group's"


def patrol(context: StepContext, group: GroupId, beat: PatrolTimes) -> PatrolResult:
    """Look at every host that an ended operation covered; repair explained drift, report the rest."""
    store = context.store
    now = store.now()
    suspicions = store.suspicions(group)
    newest = max(suspicions.values(), default=Millis(0))
    if store.lock_owner(group) is not None:
        # An operation is at work: its end will be the measure, and may be the first that there is.
        store.patrol_again(group, Millis(now + beat.every), newest)
        return PatrolResult(why_not="no host was asked: an operation is at work")
    over = now - newest > beat.watched
    if over and not any(drift.group == group for drift in store.drifts()):
        store.patrol_again(group, None, newest)
        return PatrolResult(why_not="no host was asked: the group need not be watched any longer")
    store.patrol_again(group, next_patrol(newest, now, beat.every, beat.longest), newest)
    ends = store.ends(group)
    found, asked, strange = _look(context, group, ends, suspicions, now, beat)
    new = store.keep_drift(group, ends, found)
    if new is None:
        # An operation came in between: what was seen is of before, during or after it.
        store.patrol_again(group, Millis(now + beat.every), newest)
        return PatrolResult(why_not="nothing is known: an operation came in between")
    drifts = tuple(drift for drift in found.values() if drift is not None)
    repairs = (_repair(context, group, action, drifts, beat) for action in Action)
    begun = tuple(repair for repair in repairs if repair is not None)
    late = len(ends) - asked - strange
    return PatrolResult(drifts, tuple(new), begun, asked, len(found), strange, late)


def _look(
    context: StepContext,
    group: GroupId,
    ends: dict[HostName, End],
    suspicions: dict[tuple[HostName, Presence], Millis],
    now: Millis,
    beat: PatrolTimes,
) -> tuple[dict[HostName, Drift | None], int, int]:
    """Return what hosts hold, None if it is as it should be; how many were asked, and are strange."""
    started = context.clock.elapsed()
    asked = strange = 0
    found: dict[HostName, Drift | None] = {}
    # Suspected hosts first: with many hosts the time may not do for all.
    suspected = {host for host, _ in suspicions}
    for host in sorted(ends, key=lambda name: name not in suspected):
        if (context.clock.elapsed() - started) * 1000 > beat.budget:
            break
        end, api = ends[host], context.host(host)
        if api is None or api.fingerprint != end.fingerprint:
            strange += 1  # this worker knows no such host, or a stranger of that name
            continue
        asked += 1
        shown = api.look_at_group(group).presence
        if shown is not None:
            explained = explains(suspicions.get((host, shown)), now, beat.repair)
            found[host] = end.drift(group, host, shown, now, explained=explained)
    return found, asked, strange


def _repair(
    context: StepContext, group: GroupId, action: Action, drifts: tuple[Drift, ...], beat: PatrolTimes
) -> Request | None:
    """Record the operation that mends what is explained; nothing if another operation came in between."""
    mended = [drift for drift in drifts if drift.explained and drift.remedy is action]
    if not mended:
        return None
    hosts = tuple(HostRef(drift.host, drift.end.fingerprint) for drift in mended)
    ends = {drift.host: drift.end.text for drift in mended}
    key = OperationId(context.clock.new_id())
    request = Request(key, group, action, hosts, beat.deadline, PATROL, repairs=ends)
    try:
        return request if context.store.accept(request) is Accepted.ACCEPTED else None
    except HostPaused:
        return None  # looked at again while it is watched; by then the pause may be over
