"""The scripts that concern a whole operation: accept, cancel, finish; and the crash of a lossy Redis."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rules import Joint, Rules
from tests.model.state import Cancel, Decision, Host, Operation, Phase, Shared, Undo


def always(host: Host) -> bool:
    """No condition on any host."""
    return True


def unchanged(host: Host) -> Host:
    """No effect on any host."""
    return host


def accept(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`accept`: takes the group's lock, or answers Busy and stores nothing. The lock has no time to live."""
    if shared.ops[op].phase is not Phase.QUEUED:
        return
    if rules.lock and any(operation.phase is Phase.RUNNING for operation in shared.ops):
        yield Joint(f"op{op} accept -> Busy, nothing stored", shared, always, unchanged)
        return
    accepted = shared.with_op(op, Operation(phase=Phase.RUNNING))
    yield Joint(f"op{op} accept: owns the group's lock", accepted, always, unchanged)


def cancel(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`cancel`: recorded while undecided, refused after a commit."""
    operation = shared.ops[op]
    asked = operation.cancel is not Cancel.NOT_ASKED or operation.decision is Decision.ROLL_BACK
    if not rules.cancels or operation.phase is Phase.QUEUED or asked:
        return
    answer = Cancel.ACCEPTED if operation.decision is Decision.NONE else Cancel.REFUSED
    yield Joint(
        f"op{op} cancel -> {answer}", shared.with_op(op, operation._replace(cancel=answer)), always, unchanged
    )


def finish(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`finish`: the end. The lock is released once no attempt is open, and nothing is left to undo."""
    operation = shared.ops[op]
    if operation.phase is not Phase.RUNNING or operation.decision is Decision.NONE:
        return
    committed = operation.decision is Decision.COMMIT
    ended = shared.with_op(op, operation._replace(phase=Phase.ENDED))
    target = rules.actions[op].target

    def when(host: Host) -> bool:
        step = host.steps[op]
        settled = not step.open or not rules.settle_before_end
        return settled and (committed or step.undo is not Undo.NEEDED)

    def then(host: Host) -> Host:
        return host._replace(expected=target) if committed and host.expected is not None else host

    yield Joint(
        f"op{op} finish: {'committed' if committed else 'rolled back'}, lock released", ended, when, then
    )


def redis(rules: Rules, shared: Shared) -> Iterator[Joint]:
    """A Redis that acknowledges before it keeps: what is not yet on disk is lost by a crash; answers
    given are not."""
    if rules.redis_keeps_what_it_acknowledged or shared.disk is None:
        return
    kept = shared._replace(disk=shared.ops)
    yield Joint("redis: written to disk", kept, always, lambda h: h._replace(disk=h.steps))
    if shared.redis_may_crash:
        back = tuple(
            old._replace(
                told_commit=old.told_commit or new.told_commit,
                told_roll_back=old.told_roll_back or new.told_roll_back,
            )
            for old, new in zip(shared.disk, shared.ops, strict=True)
        )
        crashed = shared._replace(ops=back, disk=back, redis_may_crash=shared.redis_may_crash - 1)
        yield Joint(
            "REDIS CRASHES, the tail is lost", crashed, always, lambda h: h._replace(steps=h.disk or h.steps)
        )
