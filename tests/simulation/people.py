"""Who asks for things: producers, whoever cancels or abandons, and the beat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import ceil, inf

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.operation.transitions import Accepted, Busy, HoldAnswer, Request
from tests.simulation.broker import Broker, Message
from tests.simulation.faults import Fate, Row
from tests.simulation.task import Run
from tests.simulation.world import Killed, World

SWEEP_EVERY = 2_000
SWEEPS_PER_PATROL = 30
BEATS_A_DAY = 86_400_000 // SWEEP_EVERY
LOCK_WAIT = 400_000
NOBODY = OperationId("-")


def produce(broker: Broker, request: Request) -> None:
    """Accept and publish, as a producer's process that may die; whoever asked sends the request again."""
    world = broker.world
    run = Run(world, broker, Message("producer", request.id))
    run.process.restored_to_queue = True  # there is no message to be delivered again
    patience = world.now + LOCK_WAIT
    try:
        while True:
            try:
                said = run.store.accept(request)
            except StoreUnavailable:
                run.sleep(1_000)
                continue
            if not isinstance(said, Busy):
                break
            if world.now >= patience:
                world.note("gave up waiting for the group")
                return
            run.sleep(500)
        if said is Accepted.ACCEPTED:
            waves = request.rollout.waves if request.rollout else {}
            hosts = tuple(host.name for host in request.hosts if waves.get(host.name, 1) == 1)
            broker.publish_chord("forward", request.id, request.action, hosts)
    except Killed:
        known = request.id in broker.ledger.store.records
        world.hit(Row.UNPUBLISHED if known else Row.BEFORE_ACCEPT)
        world.log("the producer of", request.id, "died")
        if not known or world.choose(2):
            world.spawn(lambda: produce(broker, request), 5_000)


def cancel(broker: Broker, operation: OperationId) -> None:
    """Somebody asks to cancel, and sends what is to be done then."""
    if operation in broker.ledger.store.records:
        broker.ledger.store.cancel(operation, "cancelled")
        run = Run(broker.world, broker, Message("producer", operation))
        run.process.restored_to_queue = True  # there is no message to be delivered again
        broker.world.spawn(lambda: _unless_killed(lambda: broker.publish_next(run, operation)))


def hold(broker: Broker, operation: OperationId) -> None:
    """Somebody keeps an operation from going on, if it can be kept."""
    if isinstance(broker.ledger.store.hold(operation, "somebody", "to look"), HoldAnswer):
        broker.world.note("holds by people")


def promote_now_and_then(broker: Broker, operation: OperationId, every: int, late: int) -> None:
    """Somebody looks every so many ms, and promotes what is held, perhaps after somebody held it anew."""
    world, store = broker.world, broker.ledger.store

    def look() -> None:
        record = store.records.get(operation)
        if record is None or record.waves is None or record.ended:
            return
        if (seen := record.waves.hold) is not None:
            world.at(world.now + late, lambda: promote(broker, operation, seen.number))
            world.at(world.now + late + 1, lambda: promote(broker, operation, seen.number))
        world.at(world.now + every, look)

    world.at(world.now + every, look)


def promote(broker: Broker, operation: OperationId, number: int) -> None:
    """A promote arrives, and whoever sent it publishes what comes next."""
    said = broker.ledger.store.promote(operation, number)
    broker.world.note(f"promotes that were answered {said or 'released'}")
    if said is None:
        run = Run(broker.world, broker, Message("producer", operation))
        run.process.restored_to_queue = True  # there is no message to be delivered again
        broker.world.spawn(lambda: _unless_killed(lambda: broker.publish_next(run, operation)))


def abandon(broker: Broker, operation: OperationId) -> None:
    """An operator gives up on the first host that is still pending."""
    store = broker.ledger.store
    record = store.records.get(operation)
    if record is not None and record.decision is not None and not record.ended:
        for host in sorted(record.undo | record.open)[:1]:
            store.abandon(operation, host, "an operator")


def kill_all(world: World) -> None:
    """Every worker dies at once."""
    world.log("every worker is killed")
    world.epoch += 1


def beat(world: World, broker: Broker, count: int = 0) -> None:
    """Publish a sweep every two seconds if it would find something; a second beat may do so too."""
    if count % SWEEPS_PER_PATROL == 0:
        _start_patrol(broker)
    due = broker.ledger.store.next_due()
    if due <= world.now:
        fate, _ = world.sweep[world.choose(len(world.sweep))]
        if fate is not Fate.SKIPPED:
            _start_sweep(broker)
        if fate is Fate.DOUBLED:
            world.hit(Row.TWO_BEATS)
            _start_sweep(broker)
    # Beats before anything else happens would find nothing either, and patrols before one is due.
    idle = ceil(min((min(due, world.next_at) - world.now) / SWEEP_EVERY, BEATS_A_DAY))
    patrol = SWEEPS_PER_PATROL - count % SWEEPS_PER_PATROL
    if patrol < idle:
        first = min(broker.ledger.store.looks.values(), default=inf)
        early = (first - world.now) / SWEEP_EVERY - patrol
        patrol += SWEEPS_PER_PATROL * max(0, ceil(min(early, BEATS_A_DAY) / SWEEPS_PER_PATROL))
    beats = max(1, min(idle, patrol))
    world.at(world.now + beats * SWEEP_EVERY, lambda: beat(world, broker, count + beats))


def _start_sweep(broker: Broker) -> None:
    message = Message("sweep", NOBODY)
    broker.world.spawn(lambda: _unless_killed(lambda: broker.run_unacknowledged(message)))


def _start_patrol(broker: Broker) -> None:
    if broker.ledger.store.patrol_due(1):
        message = Message("patrol", NOBODY)
        broker.world.spawn(lambda: _unless_killed(lambda: broker.publish(message)))


def _unless_killed(do: Callable[[], None]) -> None:
    """Do what the next beat does again if the process dies."""
    with suppress(Killed, StoreUnavailable):
        do()
