"""Messages: delivered once as a rule, but also late, twice or never; chords that count their headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lockstep.worker.operation.model import Action, HostName, OperationId
from lockstep.worker.operation.transitions import Order, Phase
from lockstep.worker.steps.apply import no_kind
from tests.simulation.faults import GROUP, Fate, Row
from tests.simulation.limits import VISIBILITY
from tests.simulation.task import Run
from tests.simulation.world import Killed, World

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger


MOST_DOUBLED = 100
"""Messages in one schedule. Each is retried, and may be doubled again: a step that waits for its deadline, as
with what a third hand made while a write may land, would have more of them than can be run."""


@dataclass(slots=True, eq=False)
class Chord:
    """Counts each header once, however often it runs."""

    size: int
    ended: set[int] = field(default_factory=set)
    fired: bool = False


@dataclass(slots=True, eq=False)
class Message:
    """A task to be run."""

    kind: str
    operation: OperationId
    action: Action | None = None
    hosts: tuple[HostName, ...] = ()
    chord: Chord | None = None
    index: int = 0
    tries: int = 1
    acked: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.operation}{''.join(f' {host}' for host in self.hosts)} #{self.tries}"


class Broker:
    """The queues, and the workers that take from them."""

    def __init__(self, world: World, ledger: Ledger, shell: Callable[[Run], None]) -> None:
        self.world = world
        self.ledger = ledger
        self._shell = shell
        self.hosts_per_task = 1
        self.threads = 1
        """Hosts of one task that are worked on at the same time."""
        self.group = GROUP
        self.order: Callable[[OperationId], Order | None] = lambda _: None
        self.kind = no_kind
        """What workers know of things with content."""
        self._ids = self._doubled = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"a{self._ids}"

    def publish(self, message: Message, delay: float = 0.0) -> None:
        """Send a message; `delay` is in seconds. Raises Killed if the sender dies right then."""
        world = self.world
        fate, ms = world.message[world.choose(len(world.message))]
        arrival = ms + round(delay * 1000)
        if fate is Fate.CRASH:
            raise Killed
        if fate is Fate.LOST:
            world.hit(Row.MESSAGE)
            world.log("lost:", message)
            return
        if fate is Fate.DOUBLED and self._doubled < MOST_DOUBLED:
            self._doubled += 1
            world.hit(Row.MESSAGE)
            world.log("doubled:", message)
            self._deliver(replace(message), arrival + ms)
        self._deliver(message, arrival)

    def publish_chord(
        self, kind: str, operation: OperationId, action: Action, hosts: Sequence[HostName]
    ) -> None:
        """Send a header for each slice of the hosts, counted together."""
        slices = self.cut(hosts)
        chord = Chord(len(slices))
        for index, each in enumerate(slices):
            self.publish(Message(kind, operation, action, each, chord, index))

    def publish_next(self, run: Run, operation: OperationId, *, resume: bool = False) -> None:
        """Publish what the record says is to be done next."""
        claim = run.store.claim(operation, resume=resume)
        if claim is None or not claim.hosts:
            return
        if claim.phase is Phase.SETTLE:
            for hosts in self.cut(claim.hosts):
                self.publish(Message("settle", operation, hosts=hosts))
        else:
            self.publish_chord(claim.phase.value, operation, claim.action, claim.hosts)

    def cut(self, hosts: Sequence[HostName]) -> list[tuple[HostName, ...]]:
        """Cut hosts into what one task each is to carry."""
        size = self.hosts_per_task
        return [tuple(hosts[first : first + size]) for first in range(0, len(hosts), size)]

    def restore(self, message: Message, when: int) -> None:
        """Deliver a message again that its worker has not acknowledged in time."""
        self.world.at(when, lambda: None if message.acked else self._start(message))

    def requeue(self, message: Message, started: int) -> None:
        """Give a message back. While Redis is away nobody is told, and its visibility timeout brings it."""
        away = self.world.now < self.world.redis_back_at
        back = max(started + VISIBILITY, self.world.redis_back_at) if away else self.world.now + 500
        self.restore(message, back)

    def end_of_header(self, message: Message) -> None:
        """Count a header; the last one publishes the callback."""
        chord = message.chord
        if chord is not None:
            chord.ended.add(message.index)
            if len(chord.ended) == chord.size and not chord.fired:
                chord.fired = True
                self.publish(Message("conclude", message.operation))

    def _deliver(self, message: Message, delay: int) -> None:
        self.world.at(self.world.now + delay, lambda: self._start(message))

    def _start(self, message: Message) -> None:
        if not message.acked:
            self.world.spawn(lambda: self._run(Run(self.world, self, message)))

    def run_unacknowledged(self, message: Message) -> None:
        """Run a message that nobody delivers again: the next sweep does what a lost one had to do."""
        run = Run(self.world, self, message)
        run.process.restored_to_queue = True
        self._shell(run)

    def _run(self, run: Run) -> None:
        running = self.ledger.running
        running.add(run)
        try:
            self._shell(run)
        except Killed:
            if not run.process.restored_to_queue:
                self.restore(run.message, run.started + VISIBILITY)
        finally:
            running.discard(run)
