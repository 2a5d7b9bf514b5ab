"""rollback(op, h): restoring what this operation changed on one host, or may have changed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.forward import opened_for
from tests.model.rules import Here, Local
from tests.model.settle import open_numbers
from tests.model.state import At, Attempt, Outcome, Undo, Worker


def undo_needed(here: Here) -> Undo:
    """What the decision to roll back means for this step: untouched, or `before` the target, is left
    alone."""
    step = here.step
    ours = step.touched and step.before is not here.target
    if not here.rules.undo_whatever_was_touched:
        ours = ours and step.outcome is Outcome.APPLIED
    if not here.rules.undo_covers_every_wave:
        ours = ours and here.host.wave == here.operation.wave
    return Undo.NEEDED if ours else Undo.NONE


def verify(here: Here) -> Iterator[Local]:
    """GET(h) shows `before`, sent while no attempt was open: a worker carries that to the store."""
    quiet = not here.step.open or not here.rules.settle_before_restored
    proven = proves_the_undo(here)
    if here.rolling_back and (quiet or proven):
        for saw in here.readings():
            if saw is here.step.before:
                worker = Worker(here.op, At.RECORD_RESTORED, saw=saw, clean=proven)
                yield here.with_worker(worker).then(f"GET -> {200 if saw else 404}, as before")


def record_restored(here: Here, worker: Worker) -> Iterator[Local]:
    """`restored`: only if no attempt is open now either."""
    step, gone = here.step, here.without_worker(worker)
    quiet = not step.open or not here.rules.settle_before_restored
    if here.rolling_back and worker.clean and proves_the_undo(here):
        closed = tuple(Attempt.CLOSED for _ in step.backward)
        step = step._replace(backward=closed, undo_may_have_landed=True, undo=Undo.RESTORED)
    elif here.rolling_back and quiet:
        step = step._replace(undo=Undo.RESTORED)
    yield gone.with_step(step).then(f"record restored: undo {step.undo}")


def proves_the_undo(here: Here) -> bool:
    """The refinement for undo attempts: the only one that was not closed not_applied is open, every
    forward closed."""
    step, mode = here.step, here.rules.close_proven_undo
    single = not open_numbers(step.forward) and step.open == 1 and not step.undo_may_have_landed
    return single and (mode == "any" or (mode == "after a proven write" and step.proven))


def begin_undo(here: Here) -> Iterator[Local]:
    """`begin_undo`: opens an attempt to restore, and records whether any other was open. It never counts
    tries."""
    slots = range(len(here.step.forward), len(here.step.attempts))
    slot = here.free_slot(slots) if here.rolling_back else None
    if slot is not None:
        clean = not here.step.open or not here.rules.undo_only_if_clean
        opened = here.with_step(opened_for(here, here.step, slot))
        worker = Worker(here.op, At.SEND, slot, clean=clean)
        yield opened.with_worker(worker).then(
            f"begin_undo: attempt {slot} opened{', clean' if clean else ''}"
        )


def give_up(here: Here) -> Iterator[Local]:
    """What the protocol never does: stop restoring a host after so many tries."""
    if here.rolling_back and not here.rules.undo_never_gives_up:
        yield here.with_step(here.step._replace(undo=Undo.RESTORED)).then("undo tries exhausted: given up")


def ask_what_400_meant(here: Here, worker: Worker) -> Iterator[Local]:
    """GET after the undo's 400 or 404: restored already, or refused, which closes the attempt and nothing
    else."""
    for saw in here.readings():
        at = At.FINISH_NOT_APPLIED if saw is here.target else At.FINISH_ALREADY
        after = here.without_worker(worker).with_worker(worker._replace(at=at))
        yield after.then(f"GET after the undo's 400 -> {200 if saw else 404}")


def finish_undo(here: Here, worker: Worker) -> Iterator[Local]:
    """`finish` of an inverse write: restored only if the attempt was clean and no other one is open now."""
    step, gone = here.step.with_attempt(worker.attempt, Attempt.CLOSED), here.without_worker(worker)
    if worker.at is At.FINISH_APPLIED:
        step = step._replace(undo_may_have_landed=True)
    quiet = not step.open or not here.rules.undo_only_if_clean
    if here.rolling_back and worker.at is not At.FINISH_NOT_APPLIED and worker.clean and quiet:
        step = step._replace(undo=Undo.RESTORED)
    yield gone.with_step(step).then(f"{worker.at} (undo): undo {step.undo}")
