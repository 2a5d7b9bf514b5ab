"""Who goes through what threads share is not stopped by one that adds to it just then.

Python may search for garbage whenever something is made, and whoever is woken by that may be another thread.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, cast

import pytest

from lockstep.worker.monitoring import endpoint
from lockstep.worker.monitoring.endpoint import MetricsRequest, MetricsServer
from lockstep.worker.process import forks


@contextmanager
def at_every_chance(do: Callable[[], object]) -> Iterator[None]:
    """Do it whenever Python searches for garbage, and have it search all the time."""

    def searched(phase: str, _: object) -> None:
        if phase == "start":
            do()

    before = gc.get_threshold()
    gc.callbacks.append(searched)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(searched)


MANY = range(3000)
"""More pairs than Python keeps room for without a search."""


def test_requests_whose_time_is_over_are_cut_while_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LONGEST", 0.0)
    one, other = socket.socketpair()
    with MetricsServer(("127.0.0.1", 0), MetricsRequest) as server, one, other:
        begun: dict[object, float] = cast(Any, server)._begun
        begun |= {one: 0.0, **{object(): inf for _ in MANY}}
        with at_every_chance(lambda: begun.setdefault(object(), inf)):
            server.service_actions()
        assert other.recv(1) == b"", "it was cut"


def test_a_fork_waits_for_imports_while_others_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    locks: dict[str, Callable[[], None]] = {str(n): lambda: None for n in MANY}
    monkeypatch.setattr(sys.modules["_frozen_importlib"], "_module_locks", locks)
    with at_every_chance(lambda: locks.setdefault(str(len(locks)), lambda: None)):
        assert forks._imported_elsewhere() == set()
