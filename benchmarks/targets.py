"""What is to be reached, as ratios within one run: Lockstep with AOF always, automatic mode, on two cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

from benchmarks.cluster import NONE
from benchmarks.figures import Figures, cpu_per_host, middle, quotient
from benchmarks.plan import rollback
from benchmarks.samples import Case, Sample

LOCKSTEP, PER_HOST, STOCK, FLOOR = "lockstep", "lockstep_per_host", "stock", "floor"
FLAT_SIZES = (100, 1000, 5000, 10_000)
AFTER_RETENTION = "after retention"
OWN_KEYS = ("op", "lock", "due", "operations", "ended")
"""Kinds of keys that belong to operations. `ends` outlives them on purpose, one key for every group: it says
what the last operation left on each host."""

Measure = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is to be reached: at most `limit`."""

    work: str
    limit: float
    measure: Measure


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, and what was measured."""

    target: Target
    measured: float | None

    @property
    def word(self) -> str:
        """Say `met` or `missed`; what was not measured is neither."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.target.limit else "missed"


def judge(figures: Figures) -> list[Verdict]:
    """Hold every target against the figures."""
    return [Verdict(target, target.measure(figures)) for target in TARGETS]


def against(peer: str, other: str, case: Case) -> Measure:
    """Measure a candidate's time as a multiple of another's."""
    return lambda figures: figures.ratio(peer, other, case)


def commands_per_host(sample: Sample) -> float:
    """Return the commands that Redis ran for each host, those inside scripts included."""
    return sample.commands / sample.case.hosts


def of(peer: str, value: Callable[[Sample], float], case: Case) -> Measure:
    """Measure something about a candidate's runs."""
    return lambda figures: figures.median(peer, case, value)


def published(peer: str, hosts: int) -> Measure:
    """Measure seconds until a job was accepted and published."""
    return lambda figures: middle(figures.beside.published.get((peer, hosts), ()))


def divided(one: Measure, other: Measure) -> Measure:
    """Measure one thing as a multiple of another."""
    return lambda figures: quotient(one(figures), other(figures))


def growth_of_time_per_host(figures: Figures) -> float | None:
    """Return by what the time for each host grows at most from any number of hosts to any larger one."""
    times = [figures.median(LOCKSTEP, Case(size)) for size in FLAT_SIZES]
    if None in times:
        return None
    each = [time / size for time, size in zip(times, FLAT_SIZES, strict=True) if time is not None]
    return max(larger / smaller for smaller, larger in combinations(each, 2))


def keys_left(figures: Figures) -> float | None:
    """Return how many keys of operations are left once their records may be dropped."""
    kept = figures.beside.kept.get(AFTER_RETENTION)
    return None if kept is None else sum(kept.keys[kind] for kind in OWN_KEYS)


def workers_mb(sample: Sample) -> float:
    """Return the most memory that the workers held."""
    return sample.workers_mb


def cpu(peer: str) -> Measure:
    """Measure a candidate's CPU a host as a multiple of the stock chord's."""
    return divided(of(peer, cpu_per_host, Case(1000)), of(STOCK, cpu_per_host, Case(1000)))


def slower(figures: Figures) -> float | None:
    """Return how many small operations the stock chord does while Lockstep does one."""
    done = figures.beside.throughput
    return quotient(middle(done.get(STOCK, ())), middle(done.get(LOCKSTEP, ())))


TARGETS = (
    Target("1000 hosts, 20 ms, against the stock chord", 0.10, against(LOCKSTEP, STOCK, Case(1000))),
    Target("1000 hosts, 0 ms, against the stock chord", 0.14, against(LOCKSTEP, STOCK, Case(1000, NONE))),
    Target("1000 hosts, 20 ms, against pydocket", 0.35, against(LOCKSTEP, "docket", Case(1000))),
    Target("1000 hosts, 20 ms, against huey", 0.45, against(LOCKSTEP, "huey", Case(1000))),
    Target("1000 hosts, 20 ms, against taskiq", 0.40, against(LOCKSTEP, "taskiq", Case(1000))),
    Target(
        "5 hosts, 20 ms, a task per host, against the stock chord", 0.80, against(PER_HOST, STOCK, Case(5))
    ),
    Target(
        "10 hosts, 20 ms, a task per host, against the stock chord", 0.55, against(PER_HOST, STOCK, Case(10))
    ),
    Target("5000 hosts, 20 ms, against the floor", 1.10, against(LOCKSTEP, FLOOR, Case(5000))),
    Target(
        "accepted and published, 1000 hosts, against the stock chord's apply_async",
        0.06,
        divided(published(LOCKSTEP, 1000), published(STOCK, 1000)),
    ),
    Target(
        "accepted and published, 5000 hosts against 1000",
        5.5,
        divided(published(LOCKSTEP, 5000), published(LOCKSTEP, 1000)),
    ),
    Target(
        "undo of 1000 hosts, 20 ms, against the stock chord with a rollback chord",
        0.18,
        against(LOCKSTEP, STOCK, rollback(1000)),
    ),
    Target(
        "the same with a task per host",
        0.25,
        against(PER_HOST, STOCK, rollback(1000)),
    ),
    Target(
        "a task per host forced, 1000 hosts, 20 ms, against the stock chord",
        0.45,
        against(PER_HOST, STOCK, Case(1000)),
    ),
    Target("CPU a host against the stock chord, a task per host", 0.35, cpu(PER_HOST)),
    Target("CPU a host against the stock chord, slices", 0.12, cpu(LOCKSTEP)),
    Target("operations of 5 hosts, 300 in flight: the stock chord's a second by ours", 1 / 3, slower),
    Target("Redis commands a host, a task per host", 20, of(PER_HOST, commands_per_host, Case(1000))),
    Target("Redis commands a host, slices", 2.5, of(LOCKSTEP, commands_per_host, Case(1000))),
    Target("time per host from 100 to 10,000 hosts, growth", 1.15, growth_of_time_per_host),
    Target(
        "worker memory at 1000 hosts against the stock chord",
        0.5,
        divided(of(LOCKSTEP, workers_mb, Case(1000)), of(STOCK, workers_mb, Case(1000))),
    ),
    Target(
        "worker memory at 10,000 hosts against 100",
        1.3,
        divided(of(LOCKSTEP, workers_mb, Case(10_000)), of(LOCKSTEP, workers_mb, Case(100))),
    ),
    Target("producer growth per 1000 hosts, in MB", 0.1, lambda figures: figures.beside.growth.get(LOCKSTEP)),
    Target("keys left after retention", 0, keys_left),
)
