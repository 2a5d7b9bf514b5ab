"""The gate of a wave: each host of the open waves is looked at once more before the next wave opens."""

from __future__ import annotations

from lockstep.worker.operation.answer import Probed
from lockstep.worker.operation.model import HostName, OperationId, Outcome, Presence
from lockstep.worker.operation.transitions import View
from lockstep.worker.operation.waves import Gated, Health
from lockstep.worker.steps.apply import NO_RECORD, Next, Parts, Result
from lockstep.worker.steps.rollback import same_host

AGAIN = 1.0
"""Seconds between two looks at one host, at least: so far apart must those be that count."""


def gate(parts: Parts, operation: OperationId, host: HostName, tries: int) -> Result:
    """Look at one host, which must show what was asked; a worker that does not know it counts nothing."""
    view = parts.store.view(operation, host)
    if view.action is None or view.group is None or view.step is None:
        return Result(Next.ABORTED, NO_RECORD)
    if view.gating is None:
        return Result(Next.DONE, "passed, or the gate is closed", outcome="ignored")
    again = AGAIN + parts.forward_backoff.delay(tries, parts.clock.jitter())
    api = same_host(parts, host, view.step)
    if isinstance(api, str):
        return Result(Next.AGAIN, api, again)
    order = parts.order(operation)
    if order is not None and order.content is not None:
        from lockstep.worker.steps import content

        health, said = content.health(parts, view.step, order, api)
        return _passed(parts, operation, host, view, health, said, again)
    answer, target = api.probe(view.group), view.action.target
    shown = answer.presence
    if answer.probed is Probed.OVERSIZED:
        shown = Presence.PRESENT  # only undoing a delete would need its body
    health, said = Health.WELL, f"shows {shown}"
    if shown is None:
        health, said = Health.UNWELL, f"GET {answer.text}"
    elif shown is not target:
        if view.step.open_attempts:
            return Result(Next.AGAIN, f"shows {shown}, while a write may show yet", again)
        health, said = Health.CHANGED, f"shows {shown}, as nobody asked"
    elif view.step.health and view.step.outcome is Outcome.APPLIED and (bad := api.unwell(view.step.health)):
        health, said = Health.UNWELL, f"GET {view.step.health} {bad}"
    return _passed(parts, operation, host, view, health, said, again)


def _passed(
    parts: Parts, operation: OperationId, host: HostName, view: View, health: Health, said: str, again: float
) -> Result:
    """Record what the look showed."""
    assert view.gating is not None
    look = parts.clock.new_id()
    match parts.store.gate_seen(operation, host, view.gating, view.now, look, health, said):
        case Gated.PASSED:
            return Result(Next.DONE, f"passed the gate: {said}", outcome="passed")
        case Gated.FAILED:
            return Result(Next.FAILED, f"failed at the gate: {said}", outcome="failed")
        case Gated.AGAIN:
            return Result(Next.AGAIN, said, again)
    return Result(Next.DONE, "the round is over", outcome="ignored")


def gate_raised(operation: OperationId, parts: Parts, host: HostName, reason: str) -> Result:
    """Record that a look raised, and have the sweep come back to it; nothing is counted."""
    delay = parts.rollback_backoff.cap
    parts.store.postpone(operation, host, round(delay * 1000), reason)
    return Result(Next.LATER, reason)
