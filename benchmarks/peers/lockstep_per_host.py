"""Lockstep with a task for every host, however many there are."""

from __future__ import annotations

from benchmarks.peers.lockstep import open_producer, variant
from benchmarks.server import Durability
from lockstep.worker.settings import Settings

__all__ = ["PEER", "open_producer"]

FORCED = {"LOCKSTEP_HOSTS_PER_TASK": "1"} if hasattr(Settings, "hosts_per_task") else {}
PEER = variant("Lockstep, AOF always, a task per host", Durability.ALWAYS, **FORCED)
