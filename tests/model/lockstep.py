"""The recommended protocol, put together: every transition that each state allows, and what must hold in
each."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import forward, operation, rollback, settle, waves, world
from tests.model.rules import Here, Joint, Local, Room, Rules
from tests.model.state import (
    At,
    Attempt,
    Cancel,
    Decision,
    Host,
    Operation,
    Outcome,
    Phase,
    Shared,
    Step,
    Undo,
    Worker,
)

ORPHAN = "ORPHAN: present where it must be absent"
LOST = "LOST: absent where it must be present"


class Lockstep:
    """The protocol under one set of rules, in the shape that the search explores."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.bounds = (rules.workers, rules.late)

    def start(self) -> tuple[Shared, list[Host]]:
        """Nothing accepted yet."""
        rules = self.rules
        step = Step((Attempt.CLOSED,) * rules.forward_slots, (Attempt.CLOSED,) * rules.undo_slots)
        steps, ops = (step,) * len(rules.actions), (Operation(),) * len(rules.actions)
        lossy = not rules.redis_keeps_what_it_acknowledged
        shared = Shared(
            ops,
            hosts_may_die=rules.hosts_may_die,
            strangers_may_write=0 if rules.a2_no_strangers else 1,
            redis_may_crash=int(lossy),
            holds_may_come=rules.holds,
            disk=ops if lossy else None,
        )
        numbers = rules.waves or (1,) * len(rules.held)
        return shared, [
            Host(held, held, steps, disk=steps if lossy else None, wave=wave)
            for held, wave in zip(rules.held, numbers, strict=True)
        ]

    def joint(self, shared: Shared) -> Iterator[Joint]:
        """The scripts that read every step."""
        for op in range(len(self.rules.actions)):
            yield from operation.accept(self.rules, shared, op)
            yield from operation.cancel(self.rules, shared, op)
            yield from waves.move(self.rules, shared, op)
            yield from waves.hold(self.rules, shared, op)
            yield from waves.promote(self.rules, shared, op)
            yield from operation.finish(self.rules, shared, op)
        yield from operation.redis(self.rules, shared)

    def local(self, shared: Shared, host: Host, room: Room) -> Iterator[Local]:
        """Everything that may happen next on this host."""
        for op in range(len(self.rules.actions)):
            here = Here(self.rules, shared, host, op)
            if room.worker:
                yield from forward.look(here)
                yield from rollback.begin_undo(here)
                yield from rollback.verify(here)
                yield from waves.gate(here)
            yield from forward.missed(here)
            yield from rollback.give_up(here)
            yield from settle.settle(here)
            yield from settle.abandon(here)
            yield from world.late_writes(here)
            for worker in sorted(set(host.workers)):
                if worker.op == op:
                    yield here.without_worker(worker).then("worker killed")
                    yield from self.work(here, worker, room)
        here = Here(self.rules, shared, host, 0)
        yield from world.dies(here)
        yield from world.stranger(here)

    def work(self, here: Here, worker: Worker, room: Room) -> Iterator[Local]:
        """The next thing this worker does."""
        undoing = worker.attempt >= len(here.step.forward)
        if worker.at is At.BEGIN:
            yield from forward.begin(here, worker)
        elif worker.at is At.RECORD_RESTORED:
            yield from rollback.record_restored(here, worker)
        elif worker.at is At.GATE_SEEN:
            yield from waves.gate_seen(here, worker)
        elif worker.at in (At.SEND, At.OVERSLEPT):
            yield from world.send(here, worker, room)
            yield from self.oversleep(here, worker)
        elif worker.at is At.GOT_400:
            ask = rollback.ask_what_400_meant if undoing else forward.ask_what_400_meant
            yield from ask(here, worker)
        else:
            yield from (rollback.finish_undo if undoing else forward.finish)(here, worker)

    def oversleep(self, here: Here, worker: Worker) -> Iterator[Local]:
        """Frozen until past send_by: the guard writes nothing and closes the attempt not_applied."""
        if worker.at is At.SEND:
            at = At.FINISH_NOT_APPLIED if self.rules.send_by_guard else At.OVERSLEPT
            woken = here.without_worker(worker).with_worker(worker._replace(at=at))
            yield woken.then(
                "worker wakes after send_by" + (": writes nothing" if self.rules.send_by_guard else "")
            )

    def tidy(self, shared: Shared, host: Host) -> Host:
        """The host without what nothing reads any more, so that states differing only there are visited once.

        A worker that can change nothing any more only takes room: dropping it removes no behaviour.
        """
        rules = self.rules
        if not (rules.decide_once and rules.redis_keeps_what_it_acknowledged and rules.begin_checks_decision):
            return host
        steps = tuple(self.remembered(Here(rules, shared, host, op)) for op in range(len(host.steps)))
        host = host._replace(steps=steps)
        workers = tuple(w for w in host.workers if not idle(Here(rules, shared, host, w.op), w))
        return host._replace(workers=workers)

    def remembered(self, here: Here) -> Step:
        """What a later transition may still read of this step."""
        step = here.step
        if here.operation.phase is not Phase.RUNNING:
            return Step(step.forward, step.backward)
        if not self.rules.refined_undo:
            step = step._replace(proven=False, undo_may_have_landed=False)
        if here.operation.decision is Decision.NONE:
            return step
        step = step._replace(outcome=Outcome.UNSET, touched=False, may_have_landed=False)
        if step.undo is Undo.NEEDED:
            return step
        return step._replace(before=None, undo=Undo.NONE, proven=False, undo_may_have_landed=False)

    def wrong(self, shared: Shared, host: Host) -> tuple[str, ...]:
        """Every promise that is broken here."""
        found = [host.wrong] if host.wrong else []
        found += waves.broken(shared, host)
        phases = {operation.phase for operation in shared.ops}
        if Phase.RUNNING not in phases and Phase.ENDED in phases and host.expected not in (None, host.holds):
            found.append(ORPHAN if host.holds else LOST)
        for told in shared.ops:
            if told.told_commit and told.told_roll_back:
                found.append("CONTRADICTION: told committed, and told rolled back")
            if told.cancel is Cancel.ACCEPTED and told.told_commit:
                found.append("CANCELLED: a cancel was accepted, then the operation committed")
        return tuple(found)

    def ended(self, shared: Shared, host: Host) -> bool:
        """Whether, as far as this host goes, every operation has reached its end.

        Where a dead host is never abandoned, the end is out of reach: then the others must be restored and
        settled.
        """
        if all(operation.phase is Phase.ENDED for operation in shared.ops):
            return True
        rules = self.rules
        if (
            rules.operator_abandons
            or not rules.others_suffice
            or not rules.hosts_may_die
            or shared.hosts_may_die
        ):
            return False
        decided = all(operation.decision is not Decision.NONE for operation in shared.ops)
        quiet = all(step.undo is not Undo.NEEDED and not step.open for step in host.steps)
        return host.down or (decided and quiet)


def idle(here: Here, worker: Worker) -> bool:
    """Whether whatever this worker still does changes neither the record nor the host."""
    if worker.at in (At.SEND, At.OVERSLEPT):
        return False
    if worker.at is At.RECORD_RESTORED:
        return not here.rolling_back
    if worker.at is At.BEGIN:
        return not here.forward_open
    if worker.at is At.GATE_SEEN:
        return not here.running or here.operation.decision is not Decision.NONE
    closed = not here.running or here.step.attempts[worker.attempt] is Attempt.CLOSED
    undoing = worker.attempt >= len(here.step.forward)
    return closed and not (here.rolling_back if undoing else here.forward_open)
