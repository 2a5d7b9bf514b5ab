"""Lockstep with a Redis that writes to disk once a second: a power cut loses up to a second."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.peers.lockstep import open_producer, variant
from benchmarks.server import Durability

__all__ = ["PEER", "open_producer"]

PEER = replace(
    variant("Lockstep, AOF everysec", Durability.EVERYSEC),
    keeps="all, but for a power cut: up to a second of it",
)
