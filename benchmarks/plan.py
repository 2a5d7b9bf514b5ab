"""Which candidate does which cases. A visit is one session: all its cases in it, the smallest first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.cluster import NONE, STEADY, TAIL, Latency
from benchmarks.peers.peer import Http
from benchmarks.samples import Case, Work

ROUNDS = 5
QUICK_ROUNDS = 2
FEW = 3
"""Rounds of what takes long and is no target of its own, or is far from its target."""
SAME_CLIENT = ("stock", "docket", "taskiq", "huey")
"""Candidates whose HTTP client can be chosen; the floor is its client, and Lockstep's is a part of it."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One session of one candidate. Its cases have the same HTTP client and the same distance of Redis."""

    peer: str
    cases: tuple[Case, ...]
    rounds: int = ROUNDS
    """In so many rounds at most, the first ones."""

    @property
    def hosts(self) -> int:
        """How many hosts its inventory has: those of its largest case."""
        return max(case.hosts for case in self.cases)

    @property
    def http(self) -> Http:
        """With what its tasks speak HTTP."""
        return self.cases[0].http

    @property
    def away(self) -> int | None:
        """How far away its Redis is."""
        return self.cases[0].away


def creates(sizes: Iterable[int], latencies: Sequence[Latency] = (NONE, STEADY)) -> list[Case]:
    """Return a case for every size and latency."""
    return [Case(size, latency) for size in sizes for latency in latencies]


def rollback(hosts: int) -> Case:
    """Return the case in which one of so many hosts refuses."""
    return Case(hosts, STEADY, Work.ROLLBACK)


def far(hosts: int, away: int) -> Case:
    """Return the case in which Redis is so many milliseconds away, behind a proxy."""
    return Case(hosts, away=away)


def visits() -> list[Visit]:
    """Return everything that one round of the whole run does."""
    small = (5, 10, 100)
    tail = Case(1000, TAIL)
    return [
        Visit("limit", (*creates((*small, 1000)), Case(5000), rollback(1000))),
        Visit("floor", (*creates((*small, 1000)), tail, Case(5000), rollback(1000))),
        Visit("floor", (Case(10_000),), FEW),
        Visit("stock", (*creates((*small, 1000)), rollback(1000))),
        Visit("stock", (tail, Case(5000)), 1),
        *(Visit(name, (Case(10), Case(100), Case(1000))) for name in ("docket", "taskiq", "huey")),
        *(Visit(name, (Case(1000, NONE), rollback(1000)), FEW) for name in ("docket", "taskiq", "huey")),
        Visit("dramatiq", (Case(10), Case(100), Case(1000), rollback(1000)), FEW),
        Visit("saga", (Case(10), Case(100), rollback(100)), 1),
        # Several inventories, so that memory can be held against the number of hosts.
        Visit("lockstep", tuple(creates(small))),
        Visit("lockstep", (*creates((1000,)), tail, rollback(1000))),
        Visit("lockstep", (Case(5000),)),
        Visit("lockstep", (Case(10_000),), FEW),
        Visit("lockstep", (Case(50_000),), 1),
        Visit("lockstep_everysec", (Case(10), Case(100), Case(1000), rollback(1000)), FEW),
        Visit("lockstep_per_host", (*creates((5, 10)), Case(100), *creates((1000,)), rollback(1000))),
        Visit("lockstep_waves", (Case(1000),)),
        Visit("lockstep", (far(1000, 0),)),
        *(Visit("lockstep", (far(5, away), far(10, away), far(1000, away))) for away in (2, 10)),
        Visit("stock", (far(5, 2), far(10, 2), far(1000, 2)), FEW),
        Visit("stock", (far(5, 10), far(10, 10))),
        *(Visit(name, (same_client(1000),), FEW) for name in SAME_CLIENT),
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
        Visit("lockstep_waves", (Case(1000),)),
        *(Visit(name, (far(10, 2),)) for name in ("stock", "lockstep")),
        *(Visit(name, (same_client(100),)) for name in SAME_CLIENT),
    ]


def same_client(hosts: int) -> Case:
    """Return the case in which every candidate uses the same HTTP client."""
    return Case(hosts, STEADY, http=Http.SESSION)


def only(all_visits: Iterable[Visit], wanted: Collection[tuple[str, Case]]) -> Iterator[Visit]:
    """Yield of each visit what is wanted of it, if anything is."""
    for visit in all_visits:
        cases = tuple(case for case in visit.cases if (visit.peer, case) in wanted)
        if cases:
            yield replace(visit, cases=cases)


def in_turn(all_visits: Sequence[Visit], number: int) -> list[Visit]:
    """Return a round's order: each begins with another candidate, so that none always follows the same."""
    first = number * 3 % len(all_visits)
    ordered = [*all_visits[first:], *all_visits[:first]]
    return [visit for visit in ordered if number < visit.rounds]
