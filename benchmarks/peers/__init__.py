"""The candidates, each a small file with a `PEER` and an `open_producer`.

A module here is run in three places: where it is measured from, which reads `PEER` alone; in the candidate's
producer, which calls `open_producer`; and in the candidate's workers, which find their tasks in it.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from benchmarks.peers.peer import Module, Peer

NAMES = (
    "limit",
    "floor",
    "stock",
    "docket",
    "taskiq",
    "huey",
    "dramatiq",
    "saga",
    "lockstep",
    "lockstep_everysec",
    "lockstep_per_host",
    "lockstep_waves",
)
"""In the order in which they are shown."""


def module(name: str) -> Module:
    """Import a candidate."""
    return cast(Module, import_module(f"benchmarks.peers.{name}"))


def peer(name: str) -> Peer:
    """Return what is to be known of a candidate."""
    return module(name).PEER
