"""What is to be reached, as ratios within one run: Lockstep with AOF always, automatic mode, on two cores.

Each row has a name, by which `make bench ONLY=name` measures what it needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

from benchmarks.cluster import NONE
from benchmarks.figures import (
    Figures,
    bytes_per_host,
    commands_per_host,
    cpu_per_host,
    middle,
    quotient,
    redis_cpu_per_host,
    seconds,
    workers_mb,
)
from benchmarks.plan import far, rollback
from benchmarks.samples import Case, Sample

LOCKSTEP, PER_HOST, STOCK = "lockstep", "lockstep_per_host", "stock"
IN_WAVES, PAIRS = "lockstep_waves", "earlier"
FLAT_SIZES, ONCE = (100, 1000, 5000, 10_000), 50_000
CREATE, IMPORTS, HELP, BARE = "lockstep create --no-wait", "import celery, redis", "lockstep --help", "pass"
"""Commands, and what they are held against: `python -c` of the second and of the last."""
AFTER_RETENTION = "after retention"
OWN_KEYS = ("op", "lock", "due", "operations", "ended")
"""Kinds of keys that belong to operations. `ends` outlives them on purpose, one key for every group: it says
what the last operation left on each host."""

Measure = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is to be reached."""

    name: str
    work: str
    limit: float | None
    """At most; None for what is only to be known."""
    measure: Measure
    extra: str | None = None
    """What is measured for it beside the race."""
    least: bool = False
    """The limit is the least, not the most."""

    @property
    def wanted(self) -> str:
        """The limit, in words."""
        return "" if self.limit is None else f"{'at least' if self.least else 'at most'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, and what was measured."""

    target: Target
    measured: float | None

    @property
    def word(self) -> str:
        """Say `met` or `missed`; what was not measured is neither."""
        limit = self.target.limit
        if self.measured is None:
            return "not measured"
        if limit is None:
            return "to be known"
        return (
            "met" if (self.measured >= limit if self.target.least else self.measured <= limit) else "missed"
        )


def judge(figures: Figures) -> list[Verdict]:
    """Hold every target against the figures."""
    return [Verdict(target, target.measure(figures)) for target in TARGETS]


def needed(targets: Iterable[Target]) -> tuple[set[tuple[str, Case]], set[str]]:
    """Return what has to be run for these: candidates with cases, and what is beside the race."""
    asked = _Asked()
    extras = set()
    for target in targets:
        target.measure(asked)
        extras |= {target.extra} if target.extra else set()
    return asked.cases, extras


class _Asked(Figures):
    """Has no runs, and remembers of what it was asked for some."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: set[tuple[str, Case]] = set()

    def runs(self, peer: str, case: Case) -> list[Sample]:
        """Return none."""
        self.cases.add((peer, case))
        return []


def against(peer: str, other: str, case: Case) -> Measure:
    """Measure a candidate's time as a multiple of another's."""
    return lambda figures: figures.ratio(peer, other, case)


def of(peer: str, value: Callable[[Sample], float], case: Case) -> Measure:
    """Measure something about a candidate's runs."""
    return lambda figures: figures.median(peer, case, value)


def since_earlier(value: Callable[[Sample], float], peer: str, hosts: int) -> Measure:
    """Measure something as a multiple of what it is at the earlier commit."""
    return lambda figures: figures.since_earlier(value, peer, hosts)


def published(peer: str, hosts: int) -> Measure:
    """Measure seconds until a job was accepted and published."""
    return lambda figures: middle(figures.beside.published.get((peer, hosts), ()))


def divided(one: Measure, other: Measure) -> Measure:
    """Measure one thing as a multiple of another."""
    return lambda figures: quotient(one(figures), other(figures))


def growth_of_time_per_host(*sizes: int) -> Measure:
    """Measure by what the time for each host grows at most from any number of hosts to any larger one."""

    def measure(figures: Figures) -> float | None:
        times = [figures.median(LOCKSTEP, Case(size)) for size in sizes]
        each = [time / size for time, size in zip(times, sizes, strict=True) if time is not None]
        if len(each) < len(sizes):
            return None
        return max(larger / smaller for smaller, larger in combinations(each, 2))

    return measure


def itself(away: int) -> Measure:
    """Measure 1000 hosts with a Redis so far away as a multiple of a proxy that adds nothing."""
    return divided(of(LOCKSTEP, seconds, far(1000, away)), of(LOCKSTEP, seconds, far(1000, 0)))


def command(name: str, other: str) -> Measure:
    """Measure what a command takes as a multiple of another."""
    return lambda figures: quotient(*(middle(figures.beside.commands.get(one, ())) for one in (name, other)))


def keys_left(figures: Figures) -> float | None:
    """Return how many keys of operations are left once their records may be dropped."""
    kept = figures.beside.kept.get(AFTER_RETENTION)
    return None if kept is None else sum(kept.keys[kind] for kind in OWN_KEYS)


def cpu(peer: str) -> Measure:
    """Measure a candidate's CPU a host as a multiple of the stock chord's."""
    return divided(of(peer, cpu_per_host, Case(1000)), of(STOCK, cpu_per_host, Case(1000)))


def rate(figures: Figures) -> float | None:
    """Return how many small operations Lockstep does while the stock chord does one."""
    done = figures.beside.throughput
    return quotient(middle(done.get(LOCKSTEP, ())), middle(done.get(STOCK, ())))


TARGETS = (
    Target("1000", "1000 hosts, 20 ms, against the stock chord", 0.10, against(LOCKSTEP, STOCK, Case(1000))),
    Target("1000-0ms", "1000 hosts, 0 ms, the same", 0.14, against(LOCKSTEP, STOCK, Case(1000, NONE))),
    Target("5", "5 hosts, 20 ms, a task for each, the same", 0.80, against(PER_HOST, STOCK, Case(5))),
    Target("10", "10 hosts, 20 ms, a task for each, the same", 0.55, against(PER_HOST, STOCK, Case(10))),
    Target("5000", "5000 hosts, 20 ms, against the floor", 1.10, against(LOCKSTEP, "floor", Case(5000))),
    Target(
        "1000-docket", "1000 hosts, 20 ms, against pydocket", 0.35, against(LOCKSTEP, "docket", Case(1000))
    ),
    Target("1000-huey", "1000 hosts, 20 ms, against huey", 0.45, against(LOCKSTEP, "huey", Case(1000))),
    Target("1000-taskiq", "1000 hosts, 20 ms, against taskiq", 0.40, against(LOCKSTEP, "taskiq", Case(1000))),
    Target("cpu", "CPU a host against the stock chord: slices", 0.12, cpu(LOCKSTEP)),
    Target("cpu-per-host", "CPU a host against the stock chord: a task per host", 0.35, cpu(PER_HOST)),
    Target(
        "undo",
        "undo of 1000 hosts against the stock chord with a rollback chord: slices",
        0.18,
        against(LOCKSTEP, STOCK, rollback(1000)),
    ),
    Target("undo-per-host", "the same: a task per host", 0.25, against(PER_HOST, STOCK, rollback(1000))),
    Target(
        "small",
        "small operations (5 hosts), 300 in flight from 8 clients, a second against the stock chord",
        3.0,
        rate,
        "throughput",
        least=True,
    ),
    Target(
        "waves",
        "1000 hosts, 20 ms, in waves of 1, 10 % and the rest, against all at once",
        1.25,
        against(IN_WAVES, LOCKSTEP, Case(1000)),
    ),
    *(
        Target(
            f"earlier-{name}",
            f"{what}, against EARLIER=COMMIT",
            limit,
            since_earlier(value, peer, hosts),
            PAIRS,
        )
        for name, what, limit, value, peer, hosts in (
            ("cpu", "CPU a host, 1000 hosts", 1.02, cpu_per_host, LOCKSTEP, 1000),
            ("redis", "of it Redis', 1000 hosts", None, redis_cpu_per_host, LOCKSTEP, 1000),
            ("cpu-per-host", "CPU a host, 1000 hosts, a task for each", 1.02, cpu_per_host, PER_HOST, 1000),
            ("commands", "Redis commands, 1000 hosts", 1.02, commands_per_host, LOCKSTEP, 1000),
            ("commands-10", "Redis commands, 10 hosts", 1.02, commands_per_host, LOCKSTEP, 10),
            ("bytes", "bytes on Redis' disk, 1000 hosts", 1.02, bytes_per_host, LOCKSTEP, 1000),
        )
    ),
    Target("redis-2ms-itself", "Redis 2 ms away, 1000 hosts, against itself at 0 ms", 1.1, itself(2)),
    Target("redis-2ms", "the same, against the stock chord", 0.05, against(LOCKSTEP, STOCK, far(1000, 2))),
    Target(
        "redis-10ms-5",
        "Redis 10 ms away, 5 hosts, against the stock chord",
        0.40,
        against(LOCKSTEP, STOCK, far(5, 10)),
    ),
    Target("redis-10ms-10", "the same, 10 hosts", 0.30, against(LOCKSTEP, STOCK, far(10, 10))),
    Target("redis-10ms-itself", "Redis 10 ms away, 1000 hosts, against itself at 0 ms", 1.4, itself(10)),
    Target(
        "memory",
        "worker memory at 1000 hosts against the stock chord",
        0.5,
        divided(of(LOCKSTEP, workers_mb, Case(1000)), of(STOCK, workers_mb, Case(1000))),
    ),
    Target(
        "memory-10000",
        "worker memory at 10,000 hosts against 100",
        1.3,
        divided(of(LOCKSTEP, workers_mb, Case(10_000)), of(LOCKSTEP, workers_mb, Case(100))),
    ),
    Target(
        "flat", "time per host from 100 to 10,000 hosts, growth", 1.15, growth_of_time_per_host(*FLAT_SIZES)
    ),
    Target("flat-50000", "the same to 50,000, once", 1.3, growth_of_time_per_host(*FLAT_SIZES, ONCE)),
    Target("falls", "to 10,000, where it falls", None, growth_of_time_per_host(*reversed(FLAT_SIZES))),
    Target(
        "commands-per-host",
        "Redis commands a host: a task per host",
        20,
        of(PER_HOST, commands_per_host, Case(1000)),
    ),
    Target("commands", "Redis commands a host: slices", 2.5, of(LOCKSTEP, commands_per_host, Case(1000))),
    Target("keys", "keys left after retention", 0, keys_left, "retention"),
    Target(
        "1000-per-host",
        "1000 hosts, 20 ms, a task for each, against the stock chord",
        0.45,
        against(PER_HOST, STOCK, Case(1000)),
    ),
    Target(
        "publish",
        "1000 hosts accepted and published, against the stock chord's apply_async",
        0.06,
        divided(published(LOCKSTEP, 1000), published(STOCK, 1000)),
        "publishing",
    ),
    Target(
        "publish-5000",
        "accepted and published, 5000 hosts against 1000",
        5.5,
        divided(published(LOCKSTEP, 5000), published(LOCKSTEP, 1000)),
        "publishing",
    ),
    Target(
        "producer",
        "producer growth per 1000 hosts, in MB",
        0.1,
        lambda figures: figures.beside.growth.get(LOCKSTEP),
        "publishing",
    ),
    Target("create", f"`{CREATE}` against `python -c '{IMPORTS}'`", 2.5, command(CREATE, IMPORTS), "command"),
    Target("help", f"`{HELP}` against `python -c {BARE}`", 12, command(HELP, BARE), "command"),
    Target(
        "1000-limit",
        "1000 hosts, 20 ms, against the limit: the same calls in libcurl, no queue, no record",
        None,
        against(LOCKSTEP, "limit", Case(1000)),
    ),
    Target(
        "cpu-limit",
        "CPU a host, slices, against the limit",
        None,
        divided(of(LOCKSTEP, cpu_per_host, Case(1000)), of("limit", cpu_per_host, Case(1000))),
    ),
)
