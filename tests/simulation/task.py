"""One run of one task: its store, clock and hosts are the world's, with a switch point at every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import AttemptId, Decision, HostName, OperationId
from lockstep.worker.operation.transitions import Forward, Phase
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.steps.apply import StepContext
from tests.simulation.faults import PAST_VISIBILITY, Draw, Fate, Row
from tests.simulation.hosts import HostPort, SimHost
from tests.simulation.limits import FORWARD_BACKOFF, LIMITS, ROLLBACK_BACKOFF, SETTINGS, VISIBILITY
from tests.simulation.world import Killed, World

if TYPE_CHECKING:
    from tests.simulation.broker import Broker, Message

SEALS = SealKeys()
SOCKET_TIMEOUT = 5_000
JITTERS = (0.999, 0.5, 0.0)


@dataclass(slots=True)
class Process:
    """The process in which a task runs, with all the threads that work on its hosts."""

    dead: bool = False
    restored_to_queue: bool = False
    """Whether another worker has the message by now."""
    decided: int = 0
    """How often its steps were told that the operation is decided."""

    def note_decided(self) -> None:
        self.decided += 1


class Run:
    """A task instance in a worker, or one of its threads; also the clock that its step is given."""

    def __init__(
        self, world: World, broker: Broker, message: Message, process: Process | None = None
    ) -> None:
        self.world = world
        self.broker = broker
        self.message = message
        self.epoch = world.epoch
        self.started = world.now
        self.process = process or Process()
        self.froze = False
        self.begun_forward = False
        self.undoing = message.kind == "rollback"
        self.stage = Row.IN_ROLLBACK if self.undoing else Row.BEFORE_BEGIN
        self.store = cast(RedisStore, TaskStore(self))
        self._context: StepContext | None = None

    def thread(self) -> Run:
        """Return another thread of this process, at work on the same message."""
        thread = Run(self.world, self.broker, self.message, self.process)
        thread.started, thread.epoch = self.started, self.epoch
        return thread

    @property
    def context(self) -> StepContext:
        """What a step works with."""
        if self._context is None:
            self._context = self._new_context()
        return self._context

    def _new_context(self) -> StepContext:
        return StepContext(
            store=self.store,
            host=self.find,
            host_to_apply=self.find,
            clock=self,
            limits=LIMITS,
            forward_backoff=FORWARD_BACKOFF,
            rollback_backoff=ROLLBACK_BACKOFF,
            retry_after_cap=SETTINGS.retry_after_cap,
            order=self.broker.order,
            kind=self.broker.kind,
            seals=SEALS,
            decided=lambda _: self.process.decided,
        )

    def find(self, name: HostName) -> HostPort | None:
        """This worker's inventory, which may be another than the producer's for a while."""
        host = self.broker.ledger.hosts[name]
        wrong = self.world.now < host.wrong_until
        if wrong:
            self.world.hit(Row.INVENTORY)
        return None if wrong and host.lacking else host.port(self, wrong)

    def draw(self, table: Sequence[Draw]) -> Draw:
        """Choose what becomes of the next call; the process may not live to see it."""
        fate, delay = table[self.world.choose(len(table))]
        if fate is Fate.CRASH:
            self.sleep(delay)
            self.kill()
        return fate, delay

    def sleep(self, ms: int) -> None:
        """Wait; a message that is held for too long is given to another worker meanwhile."""
        if ms:
            visible_again = self.started + VISIBILITY
            if not self.process.restored_to_queue and self.world.now + ms >= visible_again:
                self.process.restored_to_queue = True
                self.broker.restore(self.message, visible_again)
            if ms >= PAST_VISIBILITY:
                self.froze = True
            self.world.sleep(ms)
            if self.epoch != self.world.epoch or self.process.dead:
                self.kill()

    def kill(self) -> NoReturn:
        """End this process here; its message is delivered again once its visibility timeout has passed."""
        self.log("killed")
        self.process.dead = True
        if self.message.kind in ("forward", "conclude") and self._is_unpublished():
            self.world.hit(Row.BEFORE_PUBLISHING)
        elif self.message.kind in ("forward", "rollback"):
            self.world.hit(self.stage)
        raise Killed

    def _is_unpublished(self) -> bool:
        """Tell whether it is decided to roll back, and nobody has seen to it yet."""
        record = self.broker.ledger.store.records.get(self.message.operation)
        decided = record is not None and not record.ended and record.decision is Decision.ROLL_BACK
        return decided and record is not None and record.dispatched is not Phase.ROLLBACK

    def met_down(self, host: SimHost) -> None:
        """Note that a call met a host that is down."""
        if self.message.kind == "forward":
            self.world.hit(Row.DOWN_FORWARD)
        elif self.undoing and host.down_for >= 3_600_000:
            self.world.hit(Row.DOWN_AN_HOUR)

    def stopped_by_the_guard(self) -> None:
        """Note that a write was not sent because its time had passed."""
        self.world.note("writes stopped by send_by")
        if self.froze:
            self.world.hit(Row.WORKER_FROZEN)

    def log(self, *words: object) -> None:
        if self.world.tracing:
            self.world.log(f"[{self.message}]", *words)

    def elapsed(self) -> float:
        """Seconds, on the worker's own clock."""
        _, delay = self.draw(self.world.clock)
        self.sleep(delay)
        return self.world.now / 1000

    def jitter(self) -> float:
        return JITTERS[self.world.choose(3)]

    def new_id(self) -> AttemptId:
        return AttemptId(self.broker.new_id())


class TaskStore:
    """The twin as one task reaches it: over a network, and through a Redis that may be away."""

    __slots__ = ("_run", "_twin")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._twin = run.broker.ledger.store

    def called(self) -> list[OperationId]:
        """What this process was told in its last replies; another may be faster to send for it."""
        return list(self._twin.called())

    def _away(self, apply: Callable[[], object]) -> NoReturn:
        """Redis is down or frozen; what a frozen server has received it carries out when it wakes."""
        run, world = self._run, self._run.world
        world.hit(Row.REDIS_FROZEN if world.redis_frozen else Row.REDIS_RESTARTED)
        if world.redis_frozen and world.choose(2):
            world.at(world.redis_back_at, apply)
        run.sleep(SOCKET_TIMEOUT if world.redis_frozen else 1)
        raise StoreUnavailable("Redis is away")

    def _follow(self, name: str, said: Any) -> None:
        run = self._run
        if name in ("begin", "shown") and said.next is Forward.SEND:
            run.stage, run.begun_forward = Row.BEFORE_WRITE, True
        elif name in ("begin_undo", "restore") and said.next is Forward.SEND:
            run.stage = Row.IN_ROLLBACK
        elif name == "keep_drift" and said:
            run.broker.ledger.patrol_kept(run, said[0].host)
        elif name == "finish":
            run.begun_forward = False
            run.stage = Row.BEFORE_BEGIN


FOLLOWED = ("begin", "shown", "begin_undo", "restore", "keep_drift", "finish")


def _switch_point(name: str) -> Callable[..., Any]:
    """Return a method at whose every call anything may go wrong."""
    followed = name in FOLLOWED

    def call(self: TaskStore, *arguments: Any, **named: Any) -> Any:
        run, world = self._run, self._run.world
        fate, delay = run.draw(world.store)
        run.sleep(delay)
        method: Callable[..., Any] = getattr(self._twin, name)
        if world.now < world.redis_back_at:
            self._away(lambda: method(*arguments, **named))
        if fate is Fate.GONE_BEFORE:
            raise StoreUnavailable("before")
        if fate is Fate.GONE_LATER:
            later = world.now + (5_000, 30_000, 60_000)[world.choose(3)]
            world.at(later, lambda: method(*arguments, **named))
            run.sleep(SOCKET_TIMEOUT)
            raise StoreUnavailable("later")
        said = method(*arguments, **named)
        if fate is Fate.TWICE:
            run.sleep((1, SOCKET_TIMEOUT)[world.choose(2)])
            said = method(*arguments, **named)
        if world.tracing:
            run.log(name, *arguments[1:3], "->", said if name != "view" else "...")
        if fate is Fate.GONE_AFTER:
            raise StoreUnavailable("after")
        if followed:
            self._follow(name, said)
        return said

    return call


for _name in (
    *("accept", "begin", "missed", "finish", "cancel", "view", "settle", "begin_undo"),
    *("postpone", "abandon", "claim", "due", "lease", "operation", "steps"),
    *("shown", "restore", "text"),
    *("now", "ends", "suspicions", "patrol_again", "lock_owner", "keep_drift", "gate_seen", "drifts"),
):
    setattr(TaskStore, _name, _switch_point(_name))
