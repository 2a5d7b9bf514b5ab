"""settle(op, h) and abandon(op, h): closing attempts, once nothing can land any more or once nobody waits
for it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rules import Here, Local
from tests.model.state import At, Attempt, Decision, Host, Step, Travel, Undo


def settle(here: Here) -> Iterator[Local]:
    """`settle`: two answered GETs, `settle_seconds` apart, the first after send_by and the whole time of a
    call.

    The first shows that the host is reached again, and with it whatever was sent before; by A1 the second
    shows that the host has finished that. Between the two the record keeps the first, so a crash loses
    nothing.
    """
    if not here.running or here.host.down:
        return
    for number in open_numbers(here.step.attempts):
        if here.rules.a1_finishes_in_time and still_sending(here.host, here.op, number):
            continue
        fate = settled_further(here, number)
        if fate is Attempt.SEEN_ONCE:
            yield here.with_step(here.step.with_attempt(number, fate)).then(
                f"settle attempt {number}: first GET"
            )
        elif fate is Attempt.CLOSED:
            step = here.step.with_attempt(number, fate)
            if number < len(step.forward):
                closed = step._replace(may_have_landed=True)
            else:
                closed = step._replace(undo_may_have_landed=True)
            yield here.with_step(closed).then(f"settle attempt {number}: closed")


def settled_further(here: Here, number: int) -> Attempt:
    """What the next settling GET makes of this open attempt."""
    rules = here.rules
    if not rules.settle_needs_gets or not rules.a1_finishes_in_time:
        return Attempt.CLOSED
    if can_still_arrive(here.host, here.op, number, Travel.UNDER_WAY):
        return here.step.attempts[number]
    if here.step.attempts[number] is Attempt.OPEN:
        return Attempt.SEEN_ONCE if rules.settle_needs_two_gets else Attempt.CLOSED
    late = can_still_arrive(here.host, here.op, number, Travel.ARRIVED)
    return Attempt.SEEN_ONCE if late else Attempt.CLOSED


def abandoned(step: Step) -> Step:
    """`abandon`: every open attempt closed, the undo given up, recorded as such."""
    closed = step._replace(
        forward=tuple(Attempt.CLOSED for _ in step.forward),
        backward=tuple(Attempt.CLOSED for _ in step.backward),
    )
    return closed._replace(undo=Undo.ABANDONED if step.undo is Undo.NEEDED else step.undo)


def abandon(here: Here) -> Iterator[Local]:
    """`abandon`: an operator closes the attempts of a dead host and gives up its promise."""
    decided = here.running and here.operation.decision is not Decision.NONE
    pending = here.step.open or here.rolling_back
    if here.rules.operator_abandons and here.host.down and decided and pending:
        after = here.with_step(abandoned(here.step))
        yield after._replace(host=after.host._replace(expected=None)).then("abandon: attempts closed")


def can_still_arrive(host: Host, op: int, attempt: int, *stages: Travel) -> bool:
    """Whether a write of this attempt is in one of these stages of its way."""
    return any(late.op == op and late.attempt == attempt and late.travel in stages for late in host.late)


def still_sending(host: Host, op: int, attempt: int) -> bool:
    """Whether a worker holds this attempt with send_by not yet passed."""
    return any(w.op == op and w.attempt == attempt and w.at is At.SEND for w in host.workers)


def open_numbers(attempts: tuple[Attempt, ...]) -> list[int]:
    """The numbers of the attempts that are open."""
    return [n for n, attempt in enumerate(attempts) if attempt is not Attempt.CLOSED]
