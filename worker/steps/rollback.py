"""After the decision: settle what may still land, and bring a touched host back to what it held before."""

from __future__ import annotations

import json
from functools import partial

from lockstep.worker.operation.answer import Verdict
from lockstep.worker.operation.errors import Why
from lockstep.worker.operation.model import Action, Decision, HostName, OperationId, Presence, Step
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.operation.transitions import Settled, Turn, Undoing, View
from lockstep.worker.steps.apply import (
    ELSEWHERE,
    NO_RECORD,
    NOT_IN_INVENTORY,
    Next,
    Parts,
    Result,
    in_line,
    verdict_of,
    wait,
)

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
    parts: Parts, operation: OperationId, view: View, step: Step
) -> tuple[HostApi, Presence, Settled] | Result:
    """GET the group from the step's host and record what it showed; return when to come back if nothing."""
    assert view.group is not None
    api = same_host(parts, step.host, step)
    if isinstance(api, str):
        return come_back(parts, operation, step, api)
    answer = api.probe(view.group)
    shown = answer.presence
    if shown is None:
        return come_back(parts, operation, step, f"GET {answer.text}", answer.why)
    return api, shown, parts.store.settle(operation, step.host, view.now, len(step.open_attempts), shown)


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
    order = parts.order(operation)
    if order is not None and order.content is not None:
        from lockstep.worker.steps import content

        return content.settle(parts, operation, view, step, order, tries)
    looked = look(parts, operation, view, step)
    if isinstance(looked, Result):
        return looked
    *_, settled = looked
    if not settled.open:
        return SETTLED
    return await_settling(parts, operation, view, host, settled, tries)


ROUNDS = 3
"""Looks in one run; each ends after a call or two, so that a run stays far below the visibility timeout."""
RESTORED = Result(Next.DONE, "restored", outcome="restored")
NOTHING_TO_UNDO = Result(Next.DONE, "nothing to undo")


def rollback(parts: Parts, operation: OperationId, host: HostName, tries: int) -> Result:
    """Restore one host; `tries` counts this task's runs, from 1."""
    order, restore = parts.order(operation), _restore
    if order is not None and order.content is not None:
        from lockstep.worker.steps import content

        restore = partial(content.restore, order)
    step: Step | None = None
    for _ in range(ROUNDS):
        view = parts.store.view(operation, host)
        if view.action is None:
            return Result(Next.ABORTED, NO_RECORD)
        step = view.step
        if step is None or view.ended or view.decision is not Decision.ROLL_BACK or not view.undo_needed:
            return RESTORED if step and step.undo.value == "restored" else NOTHING_TO_UNDO
        done = restore(parts, operation, view, step, tries)
        if done is not None:
            return done
    return come_back(parts, operation, step, "not restored yet") if step else NOTHING_TO_UNDO


def _restore(parts: Parts, operation: OperationId, view: View, step: Step, tries: int) -> Result | None:
    """Look, and send the inverse once if need be; None means that another look is to tell what came of it."""
    looked = look(parts, operation, view, step)
    if isinstance(looked, Result):
        return looked
    api, shown, settled = looked
    if settled.restored:
        return RESTORED
    if step.before and shown is step.before.presence:
        # Without any the last open attempt has just been closed: one more GET proves it.
        return await_settling(parts, operation, view, step.host, settled, tries) if settled.open else None
    body = step.before.body if step.before else None
    sent = _send(parts, operation, api, view, step, body, ())
    if not isinstance(sent, Result) and sent[1] and body is not None:
        # The host will not take its own group back as it was: better the bare group than none.
        sent = _send(parts, operation, api, view, step, None, _fields_lost(body))
    if isinstance(sent, Result):
        return sent
    reason, _, why = sent
    return None if reason is None else come_back(parts, operation, step, reason, why)


def _send(
    parts: Parts,
    operation: OperationId,
    api: HostApi,
    view: View,
    step: Step,
    body: str | None,
    lost: tuple[str, ...],
) -> tuple[str | None, bool, Why | None] | Result:
    """Return why the inverse brought nothing (None if it did), whether it was called a bad request, and the
    kind of the reason; or when to come back if it is not this host's turn.
    """
    assert view.group is not None
    assert view.action is not None
    inverse: Action = view.action.inverse
    before = Presence.ABSENT if view.action is Action.CREATE else Presence.PRESENT
    attempt = parts.clock.new_id()
    send_before = parts.clock.elapsed() + parts.send_within
    begun = parts.store.begin_undo(operation, step.host, api.fingerprint, attempt, view.now)
    if isinstance(begun, Turn):
        return in_line(parts, operation, step.host, begun.left, begun.reason)
    if begun is not Undoing.SEND:
        return None, False, None
    said = api.write(inverse, view.group, attempt, send_before, body)
    verdict = verdict_of(api, view.group, before, said)
    contested = verdict is Verdict.CONTESTED
    if contested:
        verdict = Verdict.REFUSED
    if verdict is Verdict.MISDIRECTED:
        verdict = Verdict.UNKNOWN
    kept = lost if verdict in (Verdict.APPLIED, Verdict.UNSHOWN, Verdict.UNKNOWN) else ()
    parts.store.finish_undo(operation, step.host, attempt, verdict, said.text, kept)
    if verdict in (Verdict.APPLIED, Verdict.ALREADY):
        return None, False, None
    if verdict is Verdict.UNSHOWN:
        return f"{inverse} applied, and may not show yet", False, None
    bad_request = contested and not step.open_attempts  # else one of these may be what it contests
    return f"{inverse} {verdict.value.replace('_', ' ')} ({said.text})", bad_request, said.why


def _fields_lost(body: str) -> tuple[str, ...]:
    return tuple(sorted(set(json.loads(body)) - {"groupId"}))
