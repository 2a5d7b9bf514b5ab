"""Lockstep as `make up` starts it: three workers and beat, every acknowledged write on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.addresses import name_of
from benchmarks.peers.peer import INVENTORY, PATIENCE, REDIS_URL, Peer, Place
from benchmarks.server import Durability
from lockstep import ClusterClient, Operation, load_settings
from lockstep.producer.stack import Child, Role
from lockstep.producer.stack.child import ChildOptions
from lockstep.producer.stack.processes import celery


def workers(place: Place) -> tuple[Child, ...]:
    """Return the processes of the stack that work."""
    given: ChildOptions = {"guard": place.guard, "env": place.env}
    roles = (Role.OPERATIONS, Role.OPERATIONS_2, Role.ROLLBACK, Role.BEAT)
    return tuple(celery(role, place.directory, **given) for role in roles)


def environment(place: Place) -> dict[str, str]:
    """Return the settings that the stack gives its processes."""
    return {"LOCKSTEP_REDIS_URL": place.env[REDIS_URL], "LOCKSTEP_INVENTORY": place.env[INVENTORY]}


PEER = Peer(
    title="Lockstep, AOF always",
    http="libcurl (worker/hosts)",
    keeps="all: the record is on disk before a host is asked to write",
    workers=workers,
    settings=environment,
    durability=Durability.ALWAYS,
    client_can_be_chosen=False,
)


def variant(title: str, durability: Durability, **settings: str) -> Peer:
    """Return Lockstep with another durability or other LOCKSTEP_ settings."""
    return replace(
        PEER,
        title=title,
        durability=durability,
        settings=lambda place: {**environment(place), **settings},
    )


class Lockstep:
    """A client like any other."""

    def __init__(self) -> None:
        self._client = ClusterClient(load_settings())

    def publish(self, group: str, hosts: Sequence[str]) -> Operation:
        """Have the operation accepted and its tasks sent."""
        return self._client.create_group(group, [name_of(host) for host in hosts])

    def finish(self, job: Operation) -> bool:
        """Wait until it is committed or rolled back."""
        return job.wait(PATIENCE).committed

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def open_producer() -> Lockstep:
    """Make a client from the environment."""
    return Lockstep()
