"""The patrol: started by the beat, run as the task shell runs it, and people who come in between."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lockstep.worker.operation.model import Action, HostRef, OperationId
from lockstep.worker.operation.transitions import Request
from lockstep.worker.steps.looks import patrol
from lockstep.worker.tasks.tasks import beat_of
from tests.simulation import people
from tests.simulation.broker import Broker
from tests.simulation.faults import GROUP
from tests.simulation.hosts import SimHost
from tests.simulation.limits import SETTINGS
from tests.simulation.task import Run

BEAT = replace(beat_of(SETTINGS), repair=86_400_000)
"""With a repair window so generous that whatever is suspected is also repaired."""
SLIPPING_IN = 5_000


def run_patrol(run: Run) -> None:
    """Look at the group, and publish what is to be repaired."""
    ledger, started = run.broker.ledger, run.world.now
    alone = all(other is run or other.message.kind != "patrol" for other in ledger.running)
    came = patrol(run.context, GROUP, BEAT)
    for repair in came.repairs:
        hosts = tuple(host.name for host in repair.hosts)
        run.broker.publish_chord("forward", repair.id, repair.action, hosts)
    if alone and not came.repairs and not ledger.store.locks:
        ledger.patrolled_at = started


def slip_in(broker: Broker, kept: bool) -> None:
    """Let a user want, just once, what the patrol finds, before the patrol can ask for the opposite.

    That is before it keeps what it found, or after.
    """
    ledger = broker.ledger

    def go(run: Run, host: SimHost) -> None:
        ledger.on_drift = ledger.on_kept = None
        action = Action.CREATE if host.holds else Action.DELETE
        refs = tuple(HostRef(each.name, each.url) for each in ledger.hosts.values())
        request = Request(OperationId("slip"), GROUP, action, refs, BEAT.deadline, "a user")
        run.log("a user slips in")
        broker.world.spawn(partial(people.produce, broker, request))
        run.sleep(SLIPPING_IN)

    if kept:
        ledger.on_kept = go
    else:
        ledger.on_drift = go


def cancel_a_repair(broker: Broker, after: int) -> None:
    """Let somebody cancel the first repair."""
    ledger = broker.ledger

    def go(operation: OperationId) -> None:
        ledger.on_repair = None
        broker.world.at(broker.world.now + after, lambda: people.cancel(broker, operation))

    ledger.on_repair = go
