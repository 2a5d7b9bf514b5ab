"""Lockstep with every operation in waves: one host, a tenth of all, the rest; nothing is baked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.addresses import name_of
from benchmarks.peers import lockstep
from lockstep import Operation

__all__ = ["PEER", "open_producer"]

PEER = replace(lockstep.PEER, title="Lockstep, AOF always, in waves 1,10%,100%")


class InWaves(lockstep.Lockstep):
    """A client whose operations go in waves."""

    def publish(self, group: str, hosts: Sequence[str]) -> Operation:
        """Have the operation accepted and the tasks of its first wave sent."""
        names = [name_of(host) for host in hosts]
        return self._client.create_group(group, names, waves="1,10%,100%")


def open_producer() -> InWaves:
    """Make a client from the environment."""
    return InWaves()
