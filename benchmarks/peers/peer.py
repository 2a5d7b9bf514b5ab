"""What a candidate is: how its workers are started, and what its producer does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.server import Durability
from lockstep.producer.stack import Child, Guard

REDIS_URL = "BENCH_REDIS_URL"
HTTP = "BENCH_HTTP"
INVENTORY = "BENCH_INVENTORY"
PATIENCE = 120.0
"""Seconds for which a producer waits for one job."""
T = TypeVar("T")


class Http(StrEnum):
    """With what a candidate's tasks speak HTTP."""

    OWN = "own"
    SESSION = "session"
    """A `requests.Session` per thread, for all that let their client be chosen."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a candidate's processes are given."""

    directory: Path
    guard: Guard
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Peer:
    """What is to be known of a candidate, without starting it."""

    title: str
    http: str
    """Its own HTTP client."""
    keeps: str
    """What is left of a job whose workers are killed."""
    workers: Callable[[Place], Sequence[Child]]
    """Describes its worker processes; they are started and stopped elsewhere."""
    settings: Callable[[Place], Mapping[str, str]] = lambda place: {}
    """What its processes find in their environment besides."""
    durability: Durability = Durability.NOTHING
    redis: bool = True
    client_can_be_chosen: bool = True
    may_be_wrong: bool = False
    """Whether a wrong outcome is something to report, and no reason to stop."""


class Producer(Protocol[T]):
    """The side that asks: creates a group on every host, or has it undone where one refuses."""

    def publish(self, group: str, hosts: Sequence[str]) -> T:
        """Hand the job over; return what `finish` needs. `hosts` are base URLs."""

    def finish(self, job: T) -> bool:
        """Wait for the end: True if every host has it, False if all was undone."""

    def close(self) -> None:
        """Close every connection."""


class Module(Protocol):
    """A candidate's file."""

    PEER: Peer

    def open_producer(self) -> Producer[object]:
        """Connect to the Redis that the environment names."""


class Command(Child):
    """A worker that is ready once it has written its sign so many times, once for each of its processes."""

    def __init__(self, name: str, arguments: Sequence[str], place: Place, sign: str, times: int = 1) -> None:
        super().__init__(name, arguments, directory=place.directory, guard=place.guard, env=place.env)
        self._sign, self._times = sign, times

    def ready(self) -> bool:
        """Tell whether every process of it has said so."""
        return self.output().count(self._sign) >= self._times


def redis_url() -> str:
    """Return the Redis of this process."""
    return os.environ.get(REDIS_URL, "redis://127.0.0.1:1/0")


def http() -> Http:
    """Return the HTTP client that this process is to use."""
    return Http(os.environ.get(HTTP, Http.OWN))
