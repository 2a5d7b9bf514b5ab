"""Having an operation recorded, and waiting for its group to be free."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lockstep.producer import following
from lockstep.producer.link import Link
from lockstep.worker.operation.errors import GroupBusy, StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.store.base import Accepted, Busy, Request, Stale

_log = logging.getLogger("lockstep.producer.client")


class Withdrawn(Exception):
    """Whoever asked wants it no longer: nothing was recorded."""


def never() -> bool:
    """The `stopped` of whoever sees every call through."""
    return False


def accept(link: Link, request: Request, stopped: Callable[[], bool] = never) -> Accepted:
    """Record an operation, waiting up to `lock_wait` seconds while another holds its group.

    Raises GroupBusy, OperationIdReused, StoreFull and StoreUnavailable; Withdrawn, within a second, once
    `stopped` tells so.
    """
    # Whoever is not reachable now has stored nothing; from here on that is no longer certain.
    link.ping()
    try:
        said = _accept(link, request, stopped)
        ends = time.monotonic() + link.settings.lock_wait
        while isinstance(said, Busy):
            _log.info('group "%s" is held by operation "%s": waiting', request.group, said.owner)
            said = _accept_after(link, said.owner, request, ends, stopped)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f'{error}; whether operation "{request.id}" was accepted is not known: repeat it with this id'
        ) from error
    return said


def _accept_after(
    link: Link, owner: OperationId, request: Request, ends: float, stopped: Callable[[], bool]
) -> Accepted | Busy:
    """Ask again whenever the owner ends, and every second; return once the answer is another one."""
    with link.events(owner) as events:
        while True:
            events.subscribe()
            said = _accept(link, request, stopped)
            if not isinstance(said, Busy) or said.owner != owner:
                return said
            left = ends - time.monotonic()
            if left <= 0:
                raise GroupBusy(
                    f'group "{request.group}" is busy: operation "{owner}" still holds it after '
                    f"{link.settings.lock_wait:g} s (LOCKSTEP_LOCK_WAIT); wait for it, then ask again"
                )
            pause = min(following.LOOK_AGAIN, left)
            events.wait(pause, gather=pause)


def _accept(link: Link, request: Request, stopped: Callable[[], bool]) -> Accepted | Busy:
    if stopped():
        raise Withdrawn
    said = link.store.accept(request)
    if isinstance(said, Stale):
        raise AssertionError("only a repair can be stale")
    return said
