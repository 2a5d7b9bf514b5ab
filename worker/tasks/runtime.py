"""What a worker process needs for its tasks, made once, and whether it is stopping."""

from __future__ import annotations

import gc
import logging
import mmap
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from celery import Celery
from celery.signals import worker_init, worker_shutting_down

from lockstep.worker.celery import Lockstep
from lockstep.worker.connection import impatient_client
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import HostClient, SystemClock
from lockstep.worker.hosts.wrappers import Breaker, BreakerHost, WrappedHost
from lockstep.worker.inventory import LiveInventory
from lockstep.worker.kinds import kinds_of
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.monitoring.metrics import count, log_ids, took, work
from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.content import Effect, Shown, WriteAnswer
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import AttemptId, HostName, OperationId
from lockstep.worker.operation.transitions import Order
from lockstep.worker.process.forks import leave_to_parent, renew_in_children
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import connect
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.record.reports import Silences
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import StepContext

log = logging.getLogger(__name__)
_shared = [mmap.mmap(-1, 1)]
"""Anonymous shared memory: children inherit it, and SIGTERM reaches only their parent."""


def stopping() -> bool:
    """Tell whether the worker has been told to stop."""
    return _shared[0][0] != 0


@worker_init.connect
def _starting(**_: Any) -> None:
    # A worker's own: one forked by what had imported this must not stop with another of its kind.
    _shared[0] = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _shared[0][0] = 1


T = TypeVar("T")
HostFinder = Callable[[HostName], HostApi | None]
MOST_NAMES = 20_000
"""Operations and their hosts that are remembered in a process: some megabytes."""
GARBAGE = 20_000
"""Objects that are made before Python looks among them for garbage: its 700 are a look every few hosts."""


@dataclass(slots=True)
class _Kept:
    """What is kept of one operation: the thread that holds the lock reads it for all."""

    lock: threading.Lock
    order: Order | None = None
    failed: str = ""
    names: int = 0
    decided: int = 0
    """How often forward steps of this process were told that it is, or that nothing of it is left to do."""


class Orders:
    """What operations are about: it never changes, and is read once for all of their tasks in a process."""

    def __init__(self, read: Callable[[OperationId], Order | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._kept: OrderedDict[OperationId, _Kept] = OrderedDict()
        self._names = 0

    def of(self, operation: OperationId, agrees: Callable[[Order], bool]) -> Order | None:
        """Return what an operation is about; None when it is unknown. Raises what the store raises.

        One that does not agree is read again: an id can be used anew, once its first record has been dropped.
        """
        order = self._of(operation)
        if order is None or agrees(order):
            return order
        with self._lock:
            self._drop(operation)
        return self._of(operation)

    def decided(self, operation: OperationId) -> int:
        """Return how often steps of this process were told that an operation is decided."""
        kept = self._kept.get(operation)
        return 0 if kept is None else kept.decided

    def note_decided(self, operation: OperationId) -> None:
        if (kept := self._kept.get(operation)) is not None:
            kept.decided += 1

    def _of(self, operation: OperationId) -> Order | None:
        with self._lock:
            kept = self._kept.setdefault(operation, _Kept(threading.Lock()))
            self._kept.move_to_end(operation)
        with kept.lock:
            if kept.failed:
                raise StoreUnavailable(kept.failed)
            if kept.order is None:
                try:
                    kept.order = self._read(operation)
                except StoreUnavailable as error:
                    kept.failed = str(error)  # else those who wait would fail one after the other
                    raise
                finally:
                    self._count(operation, kept)
            return kept.order

    def _count(self, operation: OperationId, kept: _Kept) -> None:
        with self._lock:
            if self._kept.get(operation) is not kept:
                return
            if kept.order is None:
                del self._kept[operation]
            else:
                kept.names = 1 + len(kept.order.hosts)
                self._names += kept.names
            while self._names > MOST_NAMES and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def _drop(self, operation: OperationId) -> None:
        if (kept := self._kept.pop(operation, None)) is not None:
            self._names -= kept.names


class Runtime:
    def __init__(
        self,
        settings: Settings,
        store: RedisStore,
        hosts: HostFinder,
        to_apply: HostFinder,
        inventory: LiveInventory | None = None,
        **more: Any,
    ) -> None:
        """Put a store and hosts together with what the settings say, and with more of `StepContext`.

        `inventory` is what hosts are found in; None where something else finds them.
        """
        self.settings, self.store, self.inventory = settings, store, inventory
        self.places = threading.Semaphore(settings.slice_threads)
        """For the hosts of slices."""
        self.orders = orders = Orders(store.order)
        self.context = StepContext(
            store=store,
            host=hosts,
            host_to_apply=to_apply,
            clock=SystemClock(),
            limits=settings.limits,
            forward_backoff=settings.forward_backoff,
            rollback_backoff=settings.rollback_backoff,
            retry_after_cap=settings.retry_after_cap,
            order=partial(orders.of, agrees=lambda _: True),
            decided=orders.decided,
            seals=SealKeys(settings.seal_key_file),
            **more,
        )


@dataclass(frozen=True, slots=True)
class WatchedHost(WrappedHost):
    """The same host; what it says is logged, and counted with the time it takes.

    What went as it should is in the record: a line for each of ten thousand hosts would hide the others.
    """

    def _look(self, ask: Callable[[], Any], miss: object) -> Any:
        said = _timed("look", ask, lambda said: said.sight if isinstance(said, Shown) else said.verdict)
        log.debug("look: %s", said.text)
        return said

    def _write(self, call: str, attempt: AttemptId, ask: Callable[[], WriteAnswer]) -> WriteAnswer:
        with log_ids(attempt=attempt):
            said = _timed(call, ask, lambda said: said.effect)
            as_asked = said.effect is Effect.APPLIED
            log.log(logging.DEBUG if as_asked else logging.INFO, "%s: %s", call, said.text)
        return said

    def unwell(self, path: str) -> str | None:
        return _timed("health", lambda: self.host.unwell(path), lambda wrong: "unwell" if wrong else "well")


def _timed(call: str, ask: Callable[[], T], named: Callable[[T], str]) -> T:
    """Ask, and count what was said by its name, with the time that it took."""
    begun = time.monotonic()
    said = ask()
    work.moves()
    count("attempts", str(call), str(named(said)))
    took("call_seconds", time.monotonic() - begun, str(call))
    return said


def build_runtime(settings: Settings) -> Runtime:
    """Build a runtime on the real Redis and hosts; the inventory is read, nothing is connected."""
    inventory = LiveInventory(settings)
    gc.freeze()  # what is imported, and the hosts, live as long as the process: no garbage is among them
    gc.set_threshold(GARBAGE)
    # What is not told now is learnt by the next failure.
    silences = Silences(impatient_client(settings, 1.0), Keys(settings.key_prefix))
    breaker = Breaker(settings.breaker_failures, settings.breaker_seconds, SystemClock().elapsed, silences)
    return Runtime(
        settings,
        connect(settings),
        lambda name: wrapped_host(settings, inventory.find(name), None),
        lambda name: wrapped_host(settings, inventory.find(name), breaker),
        inventory,
        host_as=lambda name, known_by: wrapped_host(settings, inventory.find_as(name, known_by), None),
        kind=lambda asked: kinds_of(inventory.current().kinds, settings.kinds).find(
            f"{asked.kind}@{asked.definition}"
        ),
    )


def wrapped_host(settings: Settings, host: Host | None, breaker: Breaker | None) -> HostApi | None:
    """Wrap what calls a host, the innermost wrapper first; without a breaker it is never spared."""
    if host is None:
        return None
    watched = WatchedHost(HostClient(host, settings, curl.exchange, stopping))
    return BreakerHost(watched, host.name, breaker) if breaker else watched


class Runtimes:
    """The runtimes of this process, each built at its first use after a start or a fork."""

    def __init__(self) -> None:
        self._built: WeakKeyDictionary[Celery, Runtime] = WeakKeyDictionary()
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        leave_to_parent(*self._built.values())
        self._built.clear()
        self._lock = threading.Lock()

    def of(self, app: Celery) -> Runtime:
        with self._lock:  # the breaker is for all threads together
            if app not in self._built:
                build = getattr(app, "build_runtime", build_runtime)
                self._built[app] = build(cast(Lockstep, app).settings)
            return self._built[app]


runtime_of = Runtimes().of
