"""What all runs came to: medians, ratios, and what is measured beside the race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.samples import Case, Sample

Value = Callable[[Sample], float]


def seconds(sample: Sample) -> float:
    """Return how long a run took."""
    return sample.seconds


def commands_per_host(sample: Sample) -> float:
    """Return the commands that Redis ran for each host, those inside scripts included."""
    return sample.commands / sample.case.hosts


def workers_mb(sample: Sample) -> float:
    """Return the most memory that the workers held."""
    return sample.workers_mb


def workers_cpu_per_host(sample: Sample) -> float:
    """Return milliseconds of CPU of the workers for each host."""
    return 1000 * sample.cpu_workers / sample.case.hosts


def redis_cpu_per_host(sample: Sample) -> float:
    """Return milliseconds of CPU of its Redis for each host."""
    return 1000 * sample.cpu_redis / sample.case.hosts


def bytes_per_host(sample: Sample) -> float:
    """Return the bytes that were added to the append-only file for each host."""
    return sample.written / sample.case.hosts


def cpu_per_host(sample: Sample) -> float:
    """Return milliseconds of CPU for each host, all of the candidate's processes and its Redis together."""
    return 1000 * sample.cpu / sample.case.hosts


@dataclass(slots=True)
class Kept:
    """What Redis holds: by kind of key, how many and how many bytes."""

    keys: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Beside:
    """What is measured beside the race; empty until it is."""

    throughput: dict[str, list[float]] = field(default_factory=dict)
    """Candidate -> operations of 5 hosts per second."""
    published: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    """(candidate, hosts) -> seconds until a job was accepted and published."""
    growth: dict[str, float] = field(default_factory=dict)
    """Candidate -> MiB that its producer grew by, for every 1000 hosts that it handed over."""
    sweep_idle: list[float] = field(default_factory=list)
    """Seconds of a sweep over 10,000 unfinished operations of which none is due."""
    sweep_due: list[float] = field(default_factory=list)
    """The same where all are due, so that it resumes as many as it may."""
    kept: dict[str, Kept] = field(default_factory=dict)
    """What was done -> what Redis held after it."""
    operations: dict[str, int] = field(default_factory=dict)
    """The same -> how many operations that was."""
    ready: dict[str, list[float]] = field(default_factory=dict)
    """Candidate -> seconds until one worker was ready."""
    commands: dict[str, list[float]] = field(default_factory=dict)
    """A command line -> milliseconds that it took, imports and all."""
    earlier: dict[tuple[str, int], list[tuple[Sample, Sample]]] = field(default_factory=dict)
    """(candidate, hosts) -> runs at an earlier commit, each with the run beside it."""
    gathering: list[str] = field(default_factory=list)
    """For each number of threads, what calls of the record cost beside the design before."""
    sent: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Candidate -> commands a host that clients sent, and that scripts called."""
    telling: dict[str, list[float]] = field(default_factory=dict)
    """Milliseconds of CPU of a host's two calls: whole, and with an answer at once, untold and not."""
    attempts: dict[tuple[int, int], dict[str, float]] = field(default_factory=dict)
    """(hosts, attempts) -> what one host cost, by the names that the model has for it."""


class Figures:
    """Every run, by candidate and case."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, Case], list[Sample]] = {}
        self.beside = Beside()

    def add(self, sample: Sample) -> None:
        """Keep a run."""
        self.samples.setdefault((sample.peer, sample.case), []).append(sample)

    @property
    def all(self) -> Iterable[Sample]:
        """Every run."""
        return (sample for samples in self.samples.values() for sample in samples)

    def runs(self, peer: str, case: Case) -> list[Sample]:
        """Return the runs that came out right."""
        return [sample for sample in self.samples.get((peer, case), ()) if sample.wrong is None]

    def wrong(self, peer: str, case: Case) -> list[str]:
        """Return what was wrong with the others."""
        return [sample.wrong for sample in self.samples.get((peer, case), ()) if sample.wrong is not None]

    def since_earlier(self, value: Value, peer: str, hosts: int) -> float | None:
        """Return a value as a multiple of what it is at an earlier commit: the median of the pairs."""
        pairs = self.beside.earlier.get((peer, hosts), ())
        return middle(value(now) / value(then) for then, now in pairs if value(then))

    def median(self, peer: str, case: Case, value: Value = seconds) -> float | None:
        """Return the median over the runs; None without any."""
        return middle([value(sample) for sample in self.runs(peer, case)])

    def ratio(self, peer: str, other: str, case: Case, value: Value = seconds) -> float | None:
        """Return a candidate's median as a multiple of another's."""
        return quotient(self.median(peer, case, value), self.median(other, case, value))


def middle(values: Iterable[float]) -> float | None:
    """Return the median; None of nothing."""
    found = list(values)
    return median(found) if found else None


def quotient(one: float | None, other: float | None) -> float | None:
    """Return one by the other; None where it cannot be told."""
    return one / other if one is not None and other else None
