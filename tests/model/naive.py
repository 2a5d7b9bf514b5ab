"""The plain chord: a header task writes to each host and retries, the callback undoes the hosts that answered
2xx.

It keeps no record but the results of its tasks. Hosts, networks and late writes are those of `world`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import world
from tests.model.lockstep import LOST, ORPHAN
from tests.model.rules import Here, Joint, Local, Room, Rules
from tests.model.state import (
    At,
    Attempt,
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

REPORTED = (Outcome.APPLIED, Outcome.UNKNOWN)  # a header task's result: success, or failure
WRITE, UNDO = 0, 1  # a header task's write, and a rollback task's


class Naive:
    """A chord of POSTs or DELETEs, in the shape that the search explores."""

    def __init__(self, rules: Rules, *, already_is_success: bool = False, acks_late: bool = True) -> None:
        self.rules, self.bounds = rules, (rules.workers, rules.late)
        self.already_is_success = already_is_success
        self.acks_late = acks_late

    def start(self) -> tuple[Shared, list[Host]]:
        """The chord is published."""
        steps = (Step((Attempt.CLOSED,), (Attempt.CLOSED,)),)
        return Shared((Operation(Phase.RUNNING),)), [Host(held, held, steps) for held in self.rules.held]

    def joint(self, shared: Shared) -> Iterator[Joint]:
        """The chord's callback, and the end of the rollback it started."""
        (operation,) = shared.ops
        if operation.phase is Phase.ENDED:
            return
        target = self.rules.actions[0].target
        ended = operation._replace(phase=Phase.ENDED)
        if operation.decision is Decision.NONE:
            success = shared.with_op(0, ended._replace(told_commit=True))
            yield Joint(
                "chord callback: every task succeeded",
                success,
                lambda h: h.steps[0].outcome is Outcome.APPLIED,
                lambda h: h._replace(expected=target),
            )
        elif not operation.told_roll_back:
            rolling = shared.with_op(0, operation._replace(told_roll_back=True))
            label = "chord callback: a task failed, undo the hosts that answered 2xx"
            yield Joint(label, rolling, lambda h: h.steps[0].outcome in REPORTED, undone_if_confirmed)
        else:
            finished = shared.with_op(0, ended)
            yield Joint("rollback done", finished, lambda h: h.steps[0].undo is not Undo.NEEDED, lambda h: h)

    def local(self, shared: Shared, host: Host, room: Room) -> Iterator[Local]:
        """Tasks start, write, retry and report."""
        here = Here(self.rules, shared, host, 0)
        step = here.step
        yield from world.late_writes(here)
        if here.running and not host.workers and room.worker:
            if step.outcome is Outcome.UNSET:
                yield here.with_worker(Worker(0, At.SEND, WRITE)).then("task starts")
            if step.undo is Undo.NEEDED:
                yield here.with_worker(Worker(0, At.SEND, UNDO)).then("rollback task starts")
        if here.running and not host.workers and step.touched:
            yield from self.exhausted(here)
        for worker in host.workers:
            yield self.killed(here, worker)
            if worker.at is At.SEND:
                sent = here.with_step(step._replace(touched=True))
                yield from world.send(sent, worker, room)
            else:
                yield from self.report(here, worker)

    def exhausted(self, here: Here) -> Iterator[Local]:
        """A task that always failed gives up; so does a rollback task."""
        if here.step.outcome is Outcome.UNSET:
            yield self.failed(here).then("retries exhausted: the task fails")
        if here.step.undo is Undo.NEEDED:
            yield here.with_step(here.step._replace(undo=Undo.ABANDONED)).then(
                "rollback retries exhausted: given up"
            )

    def killed(self, here: Here, worker: Worker) -> Local:
        """A killed worker's message comes again, unless it was acknowledged when the task began."""
        gone = here.without_worker(worker)
        if self.acks_late or worker.attempt == UNDO:
            return gone.then("worker killed, its message comes again")
        return gone.with_step(gone.step._replace(outcome=Outcome.UNREACHABLE)).then(
            "worker killed, its message is lost"
        )

    def report(self, here: Here, worker: Worker) -> Iterator[Local]:
        """What the task makes of the answer: 2xx succeeds, 400 fails or counts as done, anything else is
        retried."""
        gone = here.without_worker(worker)
        done = worker.at is At.FINISH_APPLIED or (worker.at is At.GOT_400 and self.already_is_success)
        if worker.attempt == UNDO:
            finished = worker.at in (At.FINISH_APPLIED, At.GOT_400)
            undo = Undo.RESTORED if finished else Undo.NEEDED
            yield gone.with_step(here.step._replace(undo=undo)).then("rollback task ends")
        elif done:
            yield gone.with_step(here.step._replace(outcome=Outcome.APPLIED)).then("task succeeds")
        elif worker.at is At.GOT_400:
            yield self.failed(gone).then("task fails: 400 is not retried")
        else:
            yield gone.then("task retries")

    def failed(self, here: Here) -> Here:
        """The header task's result is a failure."""
        step = here.with_step(here.step._replace(outcome=Outcome.UNKNOWN))
        operation = here.operation._replace(decision=Decision.ROLL_BACK)
        return step._replace(shared=here.shared.with_op(0, operation))

    def tidy(self, shared: Shared, host: Host) -> Host:
        """Nothing is forgotten: the model is small."""
        return host

    def wrong(self, shared: Shared, host: Host) -> tuple[str, ...]:
        """The same promises as Lockstep's."""
        found = [host.wrong] if host.wrong else []
        if shared.ops[0].phase is Phase.ENDED and host.holds is not host.expected:
            found.append(ORPHAN if host.holds else LOST)
        return tuple(found)

    def ended(self, shared: Shared, host: Host) -> bool:
        """Whether the chord has reported."""
        return shared.ops[0].phase is Phase.ENDED


def undone_if_confirmed(host: Host) -> Host:
    """Only what answered 2xx is undone."""
    step = host.steps[0]
    undo = Undo.NEEDED if step.outcome is Outcome.APPLIED else Undo.NONE
    return host._replace(steps=(step._replace(undo=undo, touched=False),))
