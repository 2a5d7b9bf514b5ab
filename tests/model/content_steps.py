"""The transitions of the protocol with content: looks, writes, third hands, and what a person decides."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.content import Fate, Kept, Landing, Spot, V, Write
from tests.model.rules import Local, Room
from tests.model.state import At, Attempt, Outcome, Phase, Travel, Undo

IGNORED_A_THIRD_HAND = "OVERWRITES: a third hand's content that a look had shown"


def look(spot: Spot) -> Iterator[Local]:
    """GET: a delivered message starts a worker, which looks before it does anything."""
    if spot.forward:
        worker = Write(At.BEGIN, saw=spot.digest())
        yield _seen(spot).with_worker(worker).then(f"GET shows {spot.node.holds.name}")
    if spot.rolling_back:
        worker = Write(At.RECORD_RESTORED, saw=spot.digest(), clean=not spot.step.open)
        yield _seen(spot).with_worker(worker).then(f"GET shows {spot.node.holds.name}")


def _seen(spot: Spot) -> Spot:
    return spot._replace(node=spot.node._replace(unseen=False))


def missed(spot: Spot) -> Iterator[Local]:
    """Looks told nothing, or nothing new, for too long: the step fails."""
    if spot.forward:
        outcome = Outcome.UNKNOWN if spot.step.newest is not Fate.NONE else Outcome.UNREACHABLE
        yield spot.with_step(spot.step._replace(outcome=outcome)).then("given up")


def work(spot: Spot, worker: Write, room: Room) -> Iterator[Local]:
    """The next thing this worker does."""
    if worker.at is At.BEGIN:
        yield from begin(spot, worker)
    elif worker.at is At.RECORD_RESTORED:
        yield from undo(spot, worker)
    elif worker.at is At.SEND:
        yield from send(spot, worker, room)
    else:
        yield from finish(spot, worker)


def begin(spot: Spot, worker: Write) -> Iterator[Local]:
    """`begin`: records what the look showed, and says what is to be done."""
    gone, step, rules, shown = spot.without(worker), spot.step, spot.rules, worker.saw
    if not spot.forward:
        yield gone.then("begin -> OVER")
        return
    if step.before is None or (not step.landed and rules.before_until_landed):
        step = step._replace(before=shown)  # nothing of ours can have made it

    def came(outcome: Outcome, why: str) -> Local:
        return gone.with_step(step._replace(outcome=outcome)).then(f"begin: {why}")

    target, like, before = spot.is_target(shown), spot.is_like(shown), shown == step.before
    ours = target or like
    answered = step.newest is Fate.APPLIED and not step.open
    if not rules.only_like_is_learned and answered and not before:
        like = True
    known = step.applied or not (rules.hidden and rules.secret_needs_an_answer)  # a look cannot tell
    if target and known:
        yield came(Outcome.APPLIED if step.landed else Outcome.UNCHANGED, "as asked")
    elif like and step.landed and known and (not before or not rules.before_is_not_learned):
        step = step._replace(seen=shown)
        yield came(Outcome.APPLIED, "like the target: learned")
    elif rules.create and not step.landed and shown != V.ABSENT:
        if rules.create_refuses_other_content:
            yield came(Outcome.REFUSED, "there with other content")
        else:
            yield came(Outcome.UNCHANGED, "there already")
    elif step.contested and not step.open:
        yield came(Outcome.REFUSED, "contested, and not as asked")
    elif before and answered:
        yield gone.with_step(step).then("begin: it said yes, and shows what was before")
        yield came(Outcome.REFUSED, "it said yes, and changed nothing")
    elif not before and not ours and step.landed and rules.foreign_fails:
        if not step.open:
            yield came(Outcome.REFUSED, "somebody else has changed it")
        else:
            yield gone.with_step(step).then("begin: something else, while a write may land")
    else:
        yield from _open(gone.with_step(step), worker, 0, len(step.forward))


def _open(spot: Spot, worker: Write, first: int, last: int) -> Iterator[Local]:
    """Open an attempt in a free slot; the version that it names is that of the look."""
    taken = {each.attempt for each in spot.node.workers} | {each.attempt for each in spot.node.late}
    slots = spot.step.forward + spot.step.backward
    free = next((n for n in range(first, last) if slots[n] is Attempt.CLOSED and n not in taken), None)
    if free is None:
        yield spot.then("no slot")
        return
    step = spot.step.with_attempt(free, Attempt.OPEN)._replace(newest=Fate.OPEN, contested=False)
    opened = spot.with_step(step)
    foreign = worker.saw == V.FOREIGN and step.before != V.FOREIGN and not spot.is_like(V.FOREIGN)
    if foreign and not worker.replaced:
        opened = opened.blamed(IGNORED_A_THIRD_HAND)
    yield opened.with_worker(Write(At.SEND, free, worker.saw)).then(f"attempt {free} opened")


def _writes(spot: Spot, attempt: int) -> int:
    """What this attempt brings to the host: the target, or what was before; in the host's own form."""
    forward = attempt < len(spot.step.forward)
    if forward:
        return V.REWRITTEN if spot.rules.rewrites else spot.rules.target
    if spot.rules.hidden and not spot.rules.kept and spot.step.before == V.OLD:
        return spot.node.holds  # nobody knows the old secret
    if spot.rules.rewrites_old and spot.step.before == V.OLD:
        return V.OLD_REWRITTEN
    return spot.step.before if spot.step.before is not None else spot.node.holds


def _landed(spot: Spot, attempt: int) -> Spot:
    return spot._replace(node=spot.node._replace(holds=V(_writes(spot, attempt))))


def send(spot: Spot, worker: Write, room: Room) -> Iterator[Local]:
    """The write leaves, and all that can come of it."""
    gone, rules = spot.without(worker), spot.rules

    def answered(at: At, after: Spot, says: str, replaced: bool = False) -> Local:
        return after.with_worker(worker._replace(at=at, replaced=replaced)).then(f"write -> {says}")

    yield answered(At.FINISH_NOT_APPLIED, gone, "connection refused, or sent too late")
    yield gone.then("write did not take effect, answer lost")
    if rules.versions and spot.digest() != worker.saw:
        yield answered(At.FINISH_NOT_APPLIED, gone, "412: another version")
        return
    if rules.create and worker.attempt == 0 and spot.node.holds is not V.ABSENT and not rules.says_replaced:
        yield answered(At.GOT_400, gone, "409")
        return
    after = _landed(gone, worker.attempt)
    replaced = rules.says_replaced and worker.attempt == 0 and spot.node.holds != spot.step.before
    yield answered(At.FINISH_APPLIED, after, "2xx", replaced)
    yield after.then("write took effect, answer lost")
    yield answered(At.FINISH_REFUSED, gone, "refused")
    if rules.ignores:
        yield answered(At.FINISH_APPLIED, gone, "2xx, and nothing changes")
    if room.late:
        late = tuple(sorted((*gone.node.late, Landing(worker.attempt, Travel.UNDER_WAY, worker.saw))))
        yield gone._replace(node=gone.node._replace(late=late)).then("write timed out, and still travels")


def finish(spot: Spot, worker: Write) -> Iterator[Local]:
    """`finish`: closes the attempt; the outcome is for a look to tell."""
    gone, rules = spot.without(worker), spot.rules
    others = spot.step.with_attempt(worker.attempt, Attempt.CLOSED).landed
    step = spot.step.with_attempt(worker.attempt, Attempt.CLOSED)
    forward = worker.attempt < len(step.forward)
    if worker.at is At.FINISH_APPLIED:
        step = step._replace(newest=Fate.APPLIED, may=True, applied=step.applied or forward)
        step = step._replace(undone=step.undone or not forward)
        if not forward and not rules.look_proves_restored and spot.rolling_back and not step.open:
            step = step._replace(undo=Undo.RESTORED)
        if forward and worker.replaced and not others:
            gone = gone._replace(node=gone.node._replace(lost=True))
            step = _replaced(spot, step)
        elif forward and not rules.look_proves_applied and spot.forward:
            step = step._replace(outcome=Outcome.APPLIED)
    else:
        step = step._replace(newest=Fate.NOT_APPLIED)
        if forward and spot.forward and worker.at is At.FINISH_REFUSED:
            step = step._replace(outcome=Outcome.REFUSED)
        step = step._replace(contested=worker.at is At.GOT_400)
    yield gone.with_step(step).then(f"{worker.at}: {step.outcome}")


def _replaced(spot: Spot, step: Kept) -> Kept:
    """Our write took effect over something that no look had shown, and that was not ours."""
    if not spot.rules.replaced_is_named:
        if not spot.forward:
            return step
        return step._replace(before=spot.rules.target, may=False, outcome=Outcome.UNCHANGED)  # "was there"
    return step._replace(named=True, outcome=Outcome.REFUSED if spot.forward else step.outcome)


def for_a_person(spot: Spot, shown: int) -> bool:
    """Whether what a look shows in a rollback is neither ours nor what was before."""
    step = spot.step
    ours = spot.is_target(shown) or (spot.is_like(shown) and spot.rules.like_is_ours)
    again = spot.is_like_before(shown) and step.undone
    return step.landed and shown != step.before and not ours and not again


def undo(spot: Spot, worker: Write) -> Iterator[Local]:
    """`settle`, then `begin_undo`: what a look shows proves the restore, or is to be undone."""
    gone, step, rules, shown = spot.without(worker), spot.step, spot.rules, worker.saw
    if not spot.rolling_back:
        yield gone.then("over")
        return
    quiet = worker.clean and not step.open
    changed = shown != step.over or not rules.undo_is_seen_to_change
    if shown == step.before or (not step.landed and rules.nothing_landed_nothing_undone):
        if quiet:
            yield gone.with_step(step._replace(undo=Undo.RESTORED)).then("restored: a look shows it")
        else:
            yield gone.then("as before, while a write may land")
    elif spot.is_like_before(shown) and step.undone and changed and not _seen_target(spot, shown):
        if quiet:
            yield gone.with_step(step._replace(undo=Undo.RESTORED)).then("restored, in another form")
        else:
            yield gone.then("like before, while a write may land")
    elif for_a_person(spot, shown) and rules.foreign_waits_for_a_person:
        yield gone.then("somebody else's: for a person")
    else:
        over = gone.with_step(step._replace(over=shown))
        yield from _open(over, worker, len(step.forward), len(step.forward + step.backward))


def _seen_target(spot: Spot, shown: int) -> bool:
    return shown in (spot.rules.target, spot.step.seen)


def resolve(spot: Spot) -> Iterator[Local]:
    """A person looks at what only a person can judge: it is left, or what was before is written over it."""
    shown = spot.digest()
    if not spot.rules.people or not spot.rolling_back or spot.step.open or not for_a_person(spot, shown):
        return
    yield spot.with_step(spot.step._replace(undo=Undo.ABANDONED)).then("a person has it left")
    if not spot.node.workers:
        first = len(spot.step.forward)
        asked = Write(At.RECORD_RESTORED, saw=shown, replaced=True)
        yield from _open(_seen(spot).with_step(spot.step._replace(over=shown)), asked, first, first + 1)


def settle(spot: Spot) -> Iterator[Local]:
    """Two answered GETs, the first after `send_by` and a call, the second after all that had arrived."""
    if spot.operation.phase is not Phase.RUNNING:
        return
    step = spot.step
    for number, fate in enumerate(step.forward + step.backward):
        travels = {each.travel for each in spot.node.late if each.attempt == number}
        held = any(each.attempt == number and each.at is At.SEND for each in spot.node.workers)
        if fate is Attempt.OPEN and not held and Travel.UNDER_WAY not in travels:
            yield spot.with_step(step.with_attempt(number, Attempt.SEEN_ONCE)).then(
                f"settle {number}: first GET"
            )
        elif fate is Attempt.SEEN_ONCE and not travels:
            closed = step.with_attempt(number, Attempt.CLOSED)._replace(may=True)
            newest = Fate.SETTLED if step.newest is Fate.OPEN else step.newest
            undone = step.undone or number >= len(step.forward)
            yield spot.with_step(closed._replace(newest=newest, undone=undone)).then(
                f"settle {number}: closed"
            )


def third_hand(spot: Spot) -> Iterator[Local]:
    """Somebody else writes the thing while the operation runs."""
    if spot.shared.strangers_may_write and spot.operation.phase is Phase.RUNNING:
        shared = spot.shared._replace(strangers_may_write=spot.shared.strangers_may_write - 1)
        node = spot.node._replace(holds=V.FOREIGN, third=True, unseen=True)
        yield spot._replace(shared=shared, node=node).then("a third hand writes")


def lands(spot: Spot) -> Iterator[Local]:
    """A write that its client gave up on reaches the host, or takes effect there."""
    for late in sorted(set(spot.node.late)):
        rest = list(spot.node.late)
        rest.remove(late)
        if late.travel is Travel.UNDER_WAY:
            there = tuple(sorted((*rest, late._replace(travel=Travel.ARRIVED))))
            yield spot._replace(node=spot.node._replace(late=there)).then("a late write reaches the host")
            continue
        without = spot._replace(node=spot.node._replace(late=tuple(rest)))
        if spot.rules.versions and spot.digest() != late.saw:
            yield without.then("a late write names another version")
            continue
        after = _landed(without, late.attempt)
        over = spot.operation.phase is Phase.ENDED and spot.node.holds != after.node.holds
        yield (after.blamed("LATE: a write took effect after the end") if over else after).then(
            "LATE write lands"
        )
