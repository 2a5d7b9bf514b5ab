"""Which operations need a person, and what to do: a pure function of an operation and the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lockstep.producer.wording import NAMED, named
from lockstep.worker.operation.answer import Trouble
from lockstep.worker.operation.model import Millis, Operation, Step, Undo
from lockstep.worker.operation.states import State

UNSWEPT = 60_000
"""Milliseconds after the deadline by which any sweep that runs has had the operation rolled back."""
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


def with_unreadable(found: Stuck, steps: Iterable[Step]) -> Stuck:
    """Say first of hosts that answer, but not in a way that can be read: mending them is another matter."""
    advice = tuple(
        f"lockstep probe {step.host}  # it answers, but not so that it can be read ({step.reason}): "
        "mend what it, or a proxy before it, sends; until then it counts as giving no answer"
        for step in steps
        if step.reason and f"{Trouble.UNREADABLE}: " in step.reason
        if step.undo is Undo.NEEDED or step.open_attempts
    )
    return replace(found, advice=(*advice[:NAMED], *found.advice))


def stuck(operation: Operation, now: Millis) -> Stuck | None:
    """Tell what a person has to do for an operation; None if it goes on, or ends, without one."""
    if operation.ended:
        return None
    if operation.decided_at is None:
        late = now - operation.deadline_at
        if late < UNSWEPT:
            return None
        return Stuck(f"undecided {_age(late)} after its deadline: nobody sweeps", (NO_WORKER,))
    waiting = now - operation.decided_at
    pending, stalled = operation.pending_hosts, operation.stalled_hosts
    if operation.state is State.ROLLING_BACK and pending:
        if pending == stalled:
            return Stuck(f"{named(stalled)} cannot be restored", _restore_or_give_up(operation))
        if waiting < SLOW:
            return None
        return Stuck(f"{named(pending)} not restored {_age(waiting)} after the decision", (NO_WORKER,))
    if operation.settling and waiting >= SLOW:
        return Stuck(
            f"still settling {_age(waiting)} after the decision: a host that was written to gives no answer",
            (
                f"lockstep status {operation.id}  # names the host: mend it, then it ends by itself",
                f'lockstep abandon {operation.id} HOST --reason "…"  # only if it is gone for good',
            ),
        )
    return None


def _restore_or_give_up(operation: Operation) -> tuple[str, ...]:
    first = operation.stalled_hosts[0]
    return (
        f"lockstep status {operation.id}  # tells why: mend the host, and it is restored by itself",
        f'lockstep abandon {operation.id} {first} --reason "…"  # only if it is gone for good',
    )


def _age(milliseconds: int) -> str:
    minutes = milliseconds // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
