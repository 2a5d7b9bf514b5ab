"""The store scripts that concern a whole operation: accept, cancel, decide, finish; and the crash of a
lossy Redis."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rollback import undo_needed
from tests.model.rules import Here, Joint, Rules
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


def decide(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`move`: commit when every step is as asked, roll back when one failed or on request, in the transition
    that makes it so; roll back when somebody finds the deadline passed."""
    operation = shared.ops[op]
    if operation.phase is not Phase.RUNNING:
        return
    cancelled = operation.cancel is Cancel.ACCEPTED
    may_commit, may_roll_back = may_decide(rules, operation)
    undecided = operation.decision is Decision.NONE
    if may_commit and not (cancelled and rules.decide_reads_cancel):
        committed = operation._replace(decision=Decision.COMMIT, told_commit=True)
        yield Joint(
            f"op{op} decide: COMMIT",
            shared.with_op(op, committed),
            lambda h: h.steps[op].outcome.as_asked,
            unchanged,
            at_once=undecided,
        )
    if may_roll_back:
        rolling = shared.with_op(op, operation._replace(decision=Decision.ROLL_BACK, told_roll_back=True))

        def then(host: Host) -> Host:
            here = Here(rules, rolling, host, op)
            return here.with_step(here.step._replace(undo=undo_needed(here))).host

        label = f"op{op} decide: ROLL BACK"
        if cancelled:
            at_once = undecided and rules.decide_reads_cancel
            yield Joint(f"{label} (cancel)", rolling, always, then, at_once=at_once)
            return
        failed = f"{label} (a step failed)"
        yield Joint(
            failed, rolling, lambda h: h.steps[op].outcome.failed, then, any_host=True, at_once=undecided
        )
        if rules.deadline:
            yield Joint(f"{label} (deadline)", rolling, always, then)


def may_decide(rules: Rules, operation: Operation) -> tuple[bool, bool]:
    """Whether a commit, and whether a roll back, would still be written."""
    if operation.decision is Decision.NONE:
        return True, True
    if rules.decide_once:
        return False, False
    return operation.decision is Decision.ROLL_BACK, operation.decision is Decision.COMMIT


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
