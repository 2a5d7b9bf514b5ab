"""forward(op, h): GET, `begin`, one write, `finish`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rules import Here, Local
from tests.model.settle import open_numbers
from tests.model.state import EARLY, At, Attempt, Decision, Outcome, Step, Worker


def look(here: Here) -> Iterator[Local]:
    """GET(h): a delivered message starts a worker, which looks before it does anything."""
    blind = (
        not here.rules.begin_checks_decision
        and here.running
        and here.operation.decision is Decision.ROLL_BACK
    )
    if here.forward_open or blind:
        for saw in here.readings():
            worker = Worker(here.op, At.BEGIN, saw=saw)
            yield here.with_worker(worker).then(f"GET -> {200 if saw else 404}")


def missed(here: Here) -> Iterator[Local]:
    """`missed`, until the host is given up: the step has failed. (Any number may be missed before; that
    changes nothing, nor do the looks of a worker that does not know the host.)"""
    if here.forward_open and (here.wave_open or not here.rules.missed_checks_wave):
        outcome = Outcome.UNKNOWN if here.step.touched else Outcome.UNREACHABLE
        if not here.wave_open:
            here = here._replace(host=here.host._replace(wrong=here.host.wrong or EARLY))
        yield here.with_step(here.step._replace(outcome=outcome)).then(f"missed, and given up: {outcome}")


def begin(here: Here, worker: Worker) -> Iterator[Local]:
    """`begin`: one script decides whether this worker may write, and opens its attempt first."""
    gone, step, rules = here.without_worker(worker), here.step, here.rules
    allowed = here.forward_open or (not rules.begin_checks_decision and here.running)
    if not allowed:
        yield gone.then("begin -> OVER or DONE: writes nothing")
        return
    if not here.wave_open and rules.begin_checks_wave:
        if not rules.before_needs_an_open_wave and step.before is None:
            gone = gone.with_step(step._replace(before=worker.saw))
        yield gone.then("begin -> NOT OPEN: writes nothing")
        return
    if step.before is None or not rules.before_is_first_reading:
        step = step._replace(before=worker.saw)
    if worker.saw is here.target:
        outcome = Outcome.APPLIED if step.touched else Outcome.UNCHANGED
        step = close_proven(step) if rules.close_proven else step
        yield gone.with_step(step._replace(outcome=outcome)).then(f"begin: as asked, {outcome}")
        return
    if not rules.fresh_attempt_ids:
        for number in open_numbers(step.forward):
            again = worker._replace(at=At.SEND, attempt=number, saw=False)
            yield gone.with_worker(again).then(f"begin: the same attempt {number} again -> SEND")
    if rules.limited:
        yield gone.with_step(step).then("begin -> BUSY: writes nothing yet")
    if step.touched:
        failed = step._replace(outcome=Outcome.UNKNOWN)
        yield gone.with_step(failed).then("begin -> FAILED: writes spent")
    slot = here.free_slot(range(len(step.forward)))
    if slot is not None:
        opened = opened_for(here, step._replace(touched=True), slot)
        sender = worker._replace(at=At.SEND, attempt=slot, saw=False)
        yield gone.with_step(opened).with_worker(sender).then(f"begin: attempt {slot} opened -> SEND")


def opened_for(here: Here, step: Step, slot: int) -> Step:
    """The step with this attempt open, or without any trace of it where writes are not recorded first."""
    return step.with_attempt(slot, Attempt.OPEN) if here.rules.attempts_recorded_first else step


def close_proven(step: Step) -> Step:
    """The refinement: the only attempt that was not closed not_applied is open, so the effect is its own:
    close it."""
    if step.may_have_landed or step.open != 1:
        return step
    closed = tuple(Attempt.CLOSED for _ in step.forward)
    return step._replace(forward=closed, may_have_landed=True, proven=True)


def ask_what_400_meant(here: Here, worker: Worker) -> Iterator[Local]:
    """GET after a 400 or 404: the group is there already (or gone already), or the request was bad."""
    for saw in here.readings():
        if saw is here.target:
            at, meaning = At.FINISH_ALREADY, "already so"
        else:
            at, meaning = At.FINISH_REFUSED, "a bad request: refused"
        if not here.rules.refused_needs_absence:
            at, meaning = At.FINISH_ALREADY, "taken for already so"
        after = here.without_worker(worker).with_worker(worker._replace(at=at))
        yield after.then(f"GET after 400 -> {200 if saw else 404}: {meaning}")


def finish(here: Here, worker: Worker) -> Iterator[Local]:
    """`finish`: closes the attempt; changes `before` and `outcome` only while undecided and outcome unset."""
    step, gone = here.step.with_attempt(worker.attempt, Attempt.CLOSED), here.without_worker(worker)
    if worker.at is At.FINISH_APPLIED:
        step = step._replace(may_have_landed=True, proven=True)
    if here.forward_open:
        step = concluded(here, step, worker.at)
    yield gone.with_step(step).then(f"{worker.at}: outcome {step.outcome}")


def concluded(here: Here, step: Step, at: At) -> Step:
    """The step with the outcome that this definite answer means."""
    if at is At.FINISH_APPLIED:
        return step._replace(outcome=Outcome.APPLIED)
    if at is At.FINISH_REFUSED:
        return step._replace(outcome=Outcome.REFUSED)
    if at is At.FINISH_ALREADY:
        ours = (step.open or step.may_have_landed) and here.rules.already_there_may_be_ours
        if ours:
            return step._replace(outcome=Outcome.APPLIED)
        return step._replace(before=here.target, outcome=Outcome.UNCHANGED)
    return step
