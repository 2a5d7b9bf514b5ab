"""What is measured: a case, and what one run of it came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchmarks.cluster import STEADY, Latency
from benchmarks.peers.peer import Http


class Work(StrEnum):
    """What a run does."""

    CREATE = "create"
    ROLLBACK = "rollback"
    """The last host refuses, so that nearly all of the others are to be restored."""


@dataclass(frozen=True, slots=True)
class Case:
    """One job under one set of circumstances."""

    hosts: int
    latency: Latency = STEADY
    work: Work = Work.CREATE
    http: Http = Http.OWN
    away: int | None = None
    """Milliseconds that a proxy adds to every answer of Redis; None without a proxy."""
    attempts: int = 1
    """How often each host is written to: it answers all but the last with 503."""

    def __str__(self) -> str:
        """Name it."""
        http = "" if self.http is Http.OWN else f", {self.http}"
        away = "" if self.away is None else f", Redis {self.away} ms away"
        attempts = "" if self.attempts == 1 else f", {self.attempts} attempts"
        return f"{self.work}, {self.hosts} hosts, {self.latency.name}{http}{away}{attempts}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run."""

    peer: str
    case: Case
    seconds: float
    published: float
    """Seconds until the job was handed over."""
    cpu_producer: float
    """CPU seconds."""
    cpu_workers: float
    cpu_redis: float
    commands: int
    """Commands that Redis ran, those called by scripts included."""
    written: int
    """Bytes that were added to the append-only file; 0 where there is none."""
    producer_mb: float
    """Highest resident memory during the run."""
    workers_mb: float
    undone: int
    """Hosts that were restored."""
    undoing: float | None
    """Seconds from the refusal to the last host restored."""
    load: float
    """Load average of the last minute, before the run."""
    wrong: str | None = None
    """What was not as it should be."""

    @property
    def cpu(self) -> float:
        """CPU seconds of all of the candidate's processes, its Redis included."""
        return self.cpu_producer + self.cpu_workers + self.cpu_redis
