"""Forward: bring one host to what the operation asks for."""

from __future__ import annotations

from worker.operation.answer import Probed
from worker.operation.decision import why_failed
from worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from worker.steps.parts import ELSEWHERE, NOT_IN_INVENTORY, Next, Parts, Result, verdict_of, wait
from worker.store.base import Forward, Progress

FATAL = {Probed.MISCONFIGURED: Outcome.UNREACHABLE, Probed.OVERSIZED: Outcome.REFUSED}


def forward(
    parts: Parts, operation: OperationId, group: GroupId, action: Action, host: HostName, tries: int
) -> Result:
    """Bring one host to what the action asks for; `tries` counts this task's runs, from 1."""
    attempt = parts.clock.new_id()
    api = (parts.host_to_apply or parts.host)(host)
    if api is None:
        return _missed(parts, operation, host, attempt, tries, NOT_IN_INVENTORY)
    answer = api.probe(group)
    seen = answer.seen
    if action is Action.CREATE and answer.probed is Probed.OVERSIZED:
        seen = Seen(Presence.PRESENT)  # as asked already; only a delete would need its body
    if seen is None:
        fatal = FATAL.get(answer.probed)
        return _missed(
            parts, operation, host, attempt, tries, f"GET {answer.text}", fatal, answer.retry_after
        )
    send_before = parts.clock.elapsed() + parts.send_within
    begun = parts.store.begin(operation, host, api.fingerprint, seen, attempt)
    if begun.next is Forward.ELSEWHERE:
        return _missed(parts, operation, host, attempt, tries, ELSEWHERE)
    if begun.next is not Forward.SEND:
        return _forward_result(parts, operation, host, begun, tries)
    said = api.write(action, group, attempt, send_before)
    verdict = verdict_of(api, group, action.target, said)
    progress = parts.store.finish(operation, host, attempt, verdict, said.text)
    return _forward_result(parts, operation, host, progress, tries, said.retry_after)


def _missed(
    parts: Parts,
    operation: OperationId,
    host: HostName,
    probe: AttemptId,
    tries: int,
    reason: str,
    fatal: Outcome | None = None,
    retry_after: float | None = None,
) -> Result:
    progress = parts.store.missed(operation, host, probe, reason, fatal)
    return _forward_result(parts, operation, host, progress, tries, retry_after, reason)


def _forward_result(
    parts: Parts,
    operation: OperationId,
    host: HostName,
    progress: Progress,
    tries: int,
    retry_after: float | None = None,
    reason: str = "",
) -> Result:
    match progress.next:
        case Forward.DONE:
            if progress.last:  # refused if a step failed; the callback would decide the same, and later
                parts.store.decide(operation, Decision.COMMIT, "")
            return Result(Next.DONE, str(progress.outcome))
        case Forward.FAILED:
            reason = progress.reason or "failed"
            parts.store.decide(operation, Decision.ROLL_BACK, why_failed(host, reason))
            return Result(Next.FAILED, reason)
        case Forward.OPEN | Forward.MISSED:
            delay = parts.forward_backoff.delay(tries, parts.clock.jitter())
            if retry_after is not None:
                delay = max(delay, min(retry_after, parts.retry_after_cap))
            return wait(parts, operation, host, delay, reason)
    return Result(Next.ABORTED, "aborted")
