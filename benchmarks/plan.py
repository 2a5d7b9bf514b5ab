"""Which candidate does which cases. A visit is one session: all its cases in it, the smallest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.cluster import NONE, STEADY, TAIL, Latency
from benchmarks.peers.peer import Http
from benchmarks.samples import Case, Work

ROUNDS = 5
QUICK_ROUNDS = 2
LATENCIES = (NONE, STEADY, TAIL)
SAME_CLIENT = ("stock", "docket", "taskiq", "huey", "dramatiq")
"""Candidates whose HTTP client can be chosen; the floor is its client, and Lockstep's is a part of it."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One session of one candidate."""

    peer: str
    cases: tuple[Case, ...]
    http: Http = Http.OWN

    @property
    def hosts(self) -> int:
        """How many hosts its inventory has: those of its largest case."""
        return max(case.hosts for case in self.cases)


def creates(sizes: Iterable[int], latencies: Sequence[Latency] = LATENCIES) -> list[Case]:
    """Return a case for every size and latency."""
    return [Case(size, latency) for size in sizes for latency in latencies]


def rollback(hosts: int) -> Case:
    """Return the case in which one of so many hosts refuses."""
    return Case(hosts, STEADY, Work.ROLLBACK)


def visits() -> list[Visit]:
    """Return everything that one round of the whole run does."""
    others = ("docket", "taskiq", "huey", "dramatiq")
    large = (NONE, STEADY)
    return [
        Visit("limit", (*creates((5, 10, 100, 1000)), *creates((5000,), large), rollback(1000))),
        Visit("floor", (*creates((5, 10, 100, 1000)), *creates((5000, 10_000), large), rollback(1000))),
        Visit("stock", (*creates((5, 10, 100, 1000)), Case(5000), rollback(1000))),
        *(Visit(name, (*creates((10, 100, 1000)), rollback(1000))) for name in others),
        Visit("saga", (*creates((10, 100)), rollback(100))),
        # Three inventories, so that memory can be held against the number of hosts.
        Visit("lockstep", tuple(creates((5, 10, 100)))),
        Visit("lockstep", (*creates((1000,)), rollback(1000))),
        Visit("lockstep", tuple(creates((5000, 10_000), large))),
        Visit("lockstep_everysec", (*creates((10, 100, 1000), large), rollback(1000))),
        Visit("lockstep_everysec", (Case(5000), Case(10_000))),
        Visit("lockstep_per_host", (Case(5), Case(10), Case(100), *creates((1000,), large), rollback(1000))),
        *(Visit(name, (same_client(1000),), Http.SESSION) for name in SAME_CLIENT),
    ]


def quick_visits() -> list[Visit]:
    """Return a round that takes a minute or two, to see that all works; its figures mean little."""
    small = (Case(10), Case(100), rollback(100))
    return [
        Visit("limit", (*small, Case(1000))),
        Visit("floor", (*small, Case(1000))),
        Visit("stock", (*small, Case(1000))),
        *(Visit(name, small) for name in ("docket", "taskiq", "huey", "dramatiq", "saga")),
        Visit("lockstep", small),
        Visit("lockstep", (Case(1000), rollback(1000))),
        Visit("lockstep_everysec", (*small, Case(1000))),
        Visit("lockstep_per_host", (*small, Case(1000))),
        *(Visit(name, (same_client(100),), Http.SESSION) for name in SAME_CLIENT),
    ]


def same_client(hosts: int) -> Case:
    """Return the case in which every candidate uses the same HTTP client."""
    return Case(hosts, STEADY, http=Http.SESSION)


def in_turn(all_visits: Sequence[Visit], number: int) -> list[Visit]:
    """Return a round's order: each begins with another candidate, so that none always follows the same."""
    first = number * 3 % len(all_visits)
    return [*all_visits[first:], *all_visits[:first]]
