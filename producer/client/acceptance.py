"""How an operation is accepted: its record first, then its messages."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lockstep.worker.monitoring.tracing import ids, tracers
from lockstep.worker.operation.errors import GroupBusy, StoreUnavailable
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.operation.names import subject
from lockstep.worker.operation.store import Store
from lockstep.worker.operation.transitions import Accepted, Busy, Claim, Phase, Request
from lockstep.worker.operation.waves import earliest_end, told_rollout
from lockstep.worker.process.forks import leave_to_parent, renew_in_children
from lockstep.worker.record import events as following
from lockstep.worker.record.causes import cause_of, unavailable
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from celery import Celery
    from opentelemetry.sdk.trace import TracerProvider


def _carry(headers: Any = None, **_: Any) -> None:
    """Put the current span into a message; Celery's instrumentation leaves spans of unknown tasks open."""
    from opentelemetry.propagate import inject

    if headers:
        inject(headers)


REACHED = 1.0
"""Seconds for which a Redis that answered is taken to be reachable."""
PUBLISH_RETRIES = 3
"""One a second: enough for a Redis that is restarted. What could not be sent, the sweep sends."""
log = logging.getLogger("lockstep.producer.client.client")


class Broker:
    """Publishes tasks; its Celery application is built when first needed. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Celery | None = None
        self._tracers: TracerProvider | None = None
        self._building = threading.Lock()
        renew_in_children(self)

    def forward(self, request: Request) -> bool:
        """Send the chord of an accepted operation; False if the broker does not take it."""
        waves = request.rollout.waves if request.rollout else None
        names = tuple(host.name for host in request.hosts if waves is None or waves[host.name] == 1)
        claim = Claim(Phase.FORWARD, request.group, request.action, names, 0 if waves is None else 1)
        try:
            # Celery is slow to import, so the operation is recorded first.
            from lockstep.worker.celery.messages import publish

            with self._enqueuing(request.action, request.id, request.group) as app:
                publish(app, request.id, claim)
        except Exception as error:  # noqa: BLE001 - whatever fails now, the operation is accepted
            self._unsent(f'operation "{request.id}" is accepted, but its tasks', error)
            return False
        return True

    def next(self, store: Store, operation: OperationId, group: GroupId) -> None:
        """Send what a decided operation needs next, if the broker takes it."""
        try:
            from lockstep.worker.celery.messages import publish_next

            with self._enqueuing("rollback", operation, group) as app:
                publish_next(app, store, operation)
        except Exception as error:  # noqa: BLE001 - as above
            self._unsent(f'operation "{operation}" is decided, but its rollback', error)

    def close(self) -> None:
        if self._app is not None:
            self._app.close()

    def start_anew(self) -> None:
        self._building = threading.Lock()
        if "kombu.pools" in sys.modules:
            leave_to_parent(self._app, *_forget_pools())
            self._app = None
            _renew_property_locks()

    def _unsent(self, what: str, error: Exception) -> None:
        kind, of = type(error), ""
        why = f"{kind.__name__}: {' '.join(str(error).split())}"
        # By its module, for kombu may be what could not be imported.
        if isinstance(error, OSError) or kind.__module__.partition(".")[0] in ("kombu", "redis"):
            told, of = unavailable(error), " of Redis' return"
            why = str(told) if cause_of(error) else told.what
        within = self._settings.sweep_patience + self._settings.sweep_every
        text = "%s could not be sent (%s): the sweep sends them within about %g s%s"
        log.warning(text, what, why, within, of)

    @contextmanager
    def _enqueuing(self, what: str, operation: OperationId, group: GroupId) -> Iterator[Celery]:
        """Trace what is enqueued inside, if OpenTelemetry's variables or the calling program ask for it."""
        app, own = self._celery(), self._tracers
        if own is None:
            yield app
            return
        from opentelemetry.trace import SpanKind

        with own.get_tracer(__name__).start_as_current_span(
            f"enqueue {what}", kind=SpanKind.PRODUCER, attributes=ids(operation, group)
        ):
            yield app

    def _celery(self) -> Celery:
        with self._building:
            if self._app is None:
                from lockstep.worker.celery import make_app

                app = make_app(self._settings)
                # A worker tries for long, for nobody else keeps its result; a caller is answered sooner.
                app.conf.result_backend_transport_options["retry_policy"] = {"max_retries": PUBLISH_RETRIES}
                self._tracers = tracers("lockstep")
                if self._tracers is not None:
                    from celery.signals import before_task_publish

                    before_task_publish.connect(_carry, dispatch_uid=__name__)
                self._app = app
            return self._app


def _forget_pools() -> list[object]:
    """Have kombu make its pools anew: acquiring waits for ever for what a thread of the parent holds."""
    from kombu import pools

    found: list[object] = []
    for group in (pools.connections, pools.producers):
        found += group.values()
        group.clear()
    return found


def _renew_property_locks() -> None:
    """Have nobody wait for a property that a thread of the parent was computing: its lock is its class's."""
    from kombu.utils.objects import cached_property

    modules = [module for name, module in sys.modules.items() if name.startswith(("celery", "kombu"))]
    # By their types: Celery's proxies, asked for their class, would build an application.
    kinds = {
        id(each): each for module in modules for each in vars(module).values() if issubclass(type(each), type)
    }
    for each in (value for kind in kinds.values() for value in vars(kind).values()):
        if issubclass(type(each), cached_property):
            each.lock = threading.RLock()


class RequestWithdrawn(Exception):
    """The caller wants it no longer: nothing was recorded."""


def accept(link: Link, request: Request, stopped: Callable[[], bool] = lambda: False) -> Accepted:
    """Record an operation, waiting up to `lock_wait` seconds while another holds its group.

    Raises GroupBusy, OperationIdReused, StoreFull and StoreUnavailable; RequestWithdrawn, within a second,
    once `stopped` tells so.
    """
    # A Redis out of reach now has stored nothing; from here on that is no longer certain.
    reach(link)
    try:
        said = _accept(link, request, stopped)
        ends = time.monotonic() + link.settings.lock_wait
        while isinstance(said, Busy):
            refuse_long_waits(link, request.group, said.owner, max(0.0, ends - time.monotonic()))
            log.info('%s is held by operation "%s": waiting', subject(request.group), said.owner)
            said = _accept_after(link, said.owner, request, ends, stopped)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f'{error}; whether operation "{request.id}" was accepted is not known: repeat it with this id'
        ) from error
    return said


def reach(link: Link) -> None:
    """Make sure that Redis answers, if it has not just done so."""
    if time.monotonic() - link.heard > REACHED:
        link.store.now()
        link.heard = time.monotonic()


def refuse_long_waits(link: Link, group: GroupId, owner: OperationId, lock_wait: float) -> None:
    """Raise GroupBusy if the operation that has the group is held, or ends later than anybody waits.

    With a `lock_wait` (seconds) below 0 nobody waits for an operation with waves.
    """
    kept = link.store.operation(owner)
    if kept is None or kept.rollout is None or kept.decision is not None:
        return
    now = link.store.now()
    earliest = earliest_end(kept.rollout, now)
    if earliest is not None and earliest - now <= lock_wait * 1000:
        return
    ends = "not before somebody promotes it" if earliest is None else f"at {local(earliest)} at the earliest"
    raise GroupBusy(
        f'{subject(group)} is busy: operation "{owner}" is in {told_rollout(kept.rollout)}, '
        f"and ends {ends}; `lockstep status {owner}` tells more"
    )


def _accept_after(
    link: Link, owner: OperationId, request: Request, ends: float, stopped: Callable[[], bool]
) -> Accepted | Busy:
    """Ask again whenever the owner ends, and every second; return once the answer is another one."""
    with following.Events(link, owner) as events:
        while True:
            events.subscribe()
            said = _accept(link, request, stopped)
            if not isinstance(said, Busy) or said.owner != owner:
                return said
            left = ends - time.monotonic()
            refuse_long_waits(link, request.group, owner, left if left > 0 else -1)
            if left <= 0:
                raise GroupBusy(
                    f'{subject(request.group)} is busy: operation "{owner}" still holds it after '
                    f"{link.settings.lock_wait:g} s (LOCKSTEP_LOCK_WAIT); wait for it, then ask again"
                )
            pause = min(following.LOOK_AGAIN, left)
            events.wait(pause, gather=pause)


def _accept(link: Link, request: Request, stopped: Callable[[], bool]) -> Accepted | Busy:
    if stopped():
        raise RequestWithdrawn
    said = link.store.accept(request)
    link.heard = time.monotonic()
    assert said is not Accepted.STALE, "only a repair can be stale"
    return said
