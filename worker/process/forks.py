"""A forked child has one thread, and every lock and socket as it was: what threads share starts anew there.

Nobody has to look at process ids: what registers here is renewed before the child does anything else.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Protocol
from weakref import WeakValueDictionary

STANDS = 2.0
"""Seconds after which a fork no longer waits for an import that gets no further: the import may wait for the
fork, or be how a program is run."""
log = logging.getLogger(__name__)


class Shared(Protocol):
    def start_anew(self) -> None:
        """Be as if just built: make new locks, and keep nothing that belongs to the parent or its threads."""


_left: list[object] = []
_shared: WeakValueDictionary[int, Shared] = WeakValueDictionary()


def renew_in_children(shared: Shared) -> None:
    """Have `start_anew` called in every child that is forked from now on, for as long as the object lives."""
    _shared[id(shared)] = shared


def leave_to_parent(*objects: object) -> None:
    """Keep these in a child without using, closing or destroying them: some take a lock for that."""
    _left.extend(objects)


def _renew() -> None:
    _forget_imports()
    for shared in list(_shared.values()):
        try:
            shared.start_anew()
        except Exception:
            log.exception("%r is still shared with the parent process", shared)


def _await_imports() -> None:
    """Wait until no other thread imports anything: in a child, the module's lock would stay held.

    What is slow to import we import late, so that happens while a client works.
    """
    importing, since = _imported_elsewhere(), time.monotonic()
    while importing and time.monotonic() - since < STANDS:
        time.sleep(0.001)
        now = _imported_elsewhere()
        if now != importing:
            importing, since = now, time.monotonic()


def _imported_elsewhere() -> set[str]:
    me = threading.get_ident()
    locks = sys.modules["_frozen_importlib"]._module_locks
    # Not of pairs: while one is made, another thread may begin an import.
    found = ((name, locks.get(name, lambda: None)()) for name in list(locks))
    return {name for name, lock in found if lock is not None and lock.owner not in (None, me)}


def _forget_imports() -> None:
    """Import anew what a thread of the parent was importing still, or began to at the last moment.

    Its lock stays held here, by nobody, and half of it is there.
    """
    for name in _imported_elsewhere():
        sys.modules["_frozen_importlib"]._module_locks.pop(name, None)
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            del sys.modules[name]


os.register_at_fork(before=_await_imports, after_in_child=_renew)
