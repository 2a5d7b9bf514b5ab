"""A forked child has one thread, and every lock as it was: what threads share starts anew there.

Nobody has to look at process ids: what registers here is renewed before the child does anything else.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakValueDictionary


class Shared(Protocol):
    """What threads of one process share."""

    def start_anew(self) -> None:
        """Be as if just built: make new locks, and keep nothing that belongs to the parent or its threads."""
        ...


_shared: WeakValueDictionary[int, Shared] = WeakValueDictionary()


def renew_in_children(shared: Shared) -> None:
    """Have `start_anew` called in every child that is forked from now on, for as long as the object lives."""
    _shared[id(shared)] = shared


def _renew() -> None:
    for shared in list(_shared.values()):
        shared.start_anew()


os.register_at_fork(after_in_child=_renew)
