"""What rollback and settling share: looking at a host after the decision, and coming back to it."""

from __future__ import annotations

from lockstep.worker.operation.answer import ProbeAnswer
from lockstep.worker.operation.model import HostName, OperationId, Presence, Step, Why
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.operation.transitions import Settled, View
from lockstep.worker.steps.result import ELSEWHERE, NO_RECORD, NOT_IN_INVENTORY, Next, Parts, Result, wait

QUICK_LOOKS = 5
"""So often an open attempt is looked at with short delays: most often its own task is about to close it."""

SETTLED = Result(Next.DONE, "settled", outcome="settled")


def same_host(parts: Parts, host: HostName, step: Step) -> HostApi | str:
    """Return the host's API, or why this worker must not talk to it."""
    api = parts.host(host)
    if api is not None and api.fingerprint == step.fingerprint:
        return api
    return parts.host_as(host, step.fingerprint) or (NOT_IN_INVENTORY if api is None else ELSEWHERE)


def look(
    parts: Parts, operation: OperationId, api: HostApi, view: View, step: Step
) -> tuple[Presence, Settled] | ProbeAnswer:
    """GET the group and record what it showed; return the answer when it showed nothing."""
    assert view.group is not None
    answer = api.probe(view.group)
    shown = answer.presence
    if shown is None:
        return answer
    return shown, parts.store.settle(operation, step.host, view.now, len(step.open_attempts), shown)


def await_settling(
    parts: Parts, operation: OperationId, view: View, host: HostName, settled: Settled, tries: int
) -> Result:
    """Come back when the open attempts can be looked at again."""
    delay = max(0.0, ((settled.again_at or view.now) - view.now) / 1000)
    if tries <= QUICK_LOOKS:
        delay = min(delay, parts.forward_backoff.ceiling(tries))
    return wait(parts, operation, host, delay, "")


def come_back(
    parts: Parts, operation: OperationId, step: Step, reason: str, why: Why | None = None
) -> Result:
    """Count a try that brought nothing, and come back after a growing delay, for ever."""
    failures = step.undo_misses + 1
    delay = parts.rollback_backoff.delay(failures, parts.clock.jitter())
    later = delay > parts.longest_countdown
    kept = round(delay * 1000) if later else None
    parts.store.postpone(operation, step.host, kept, reason, parts.clock.new_id(), why)
    return Result(Next.LATER if later else Next.AGAIN, reason, delay)


def raised_later(operation: OperationId, parts: Parts, host: HostName, reason: str) -> Result:
    """Record that a step raised, and have the sweep come back to it after the longest delay."""
    delay = parts.rollback_backoff.cap
    parts.store.postpone(operation, host, round(delay * 1000), reason, failed=parts.clock.new_id())
    return Result(Next.LATER, reason)


def settle(parts: Parts, operation: OperationId, host: HostName, tries: int) -> Result:
    """Look at a host once; its open attempts are closed by two looks, far enough apart."""
    view = parts.store.view(operation, host)
    if view.action is None:
        return Result(Next.ABORTED, NO_RECORD)
    step = view.step
    if step is None or view.ended or view.decision is None or not step.open_attempts:
        return SETTLED
    api = same_host(parts, host, step)
    if isinstance(api, str):
        return come_back(parts, operation, step, api)
    looked = look(parts, operation, api, view, step)
    if isinstance(looked, ProbeAnswer):
        return come_back(parts, operation, step, f"GET {looked.text}", looked.why)
    _, settled = looked
    if not settled.open:
        return SETTLED
    return await_settling(parts, operation, view, host, settled, tries)
