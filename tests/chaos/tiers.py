"""The tiers: how many operations, on which pool, with which times, under which seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.integration.worker.harness import SHORT

SHORTENED = {
    **SHORT,
    "read_timeout": "0.8",
    "settle_seconds": "1.5",
    "deadline": "8",
    "lock_wait": "1",
    "redis_connect_timeout": "1",
    "retry_after_cap": "2",
    "patrol_every": "5",
    "sweep_queue_limit": "60",
}
"""Short times in the relations that the shipped ones have; an effect may land after its client has left.

So has the length of a queue from which on a sweep resumes nothing: what is served within its patience.
"""
SLICED = {**SHORTENED, "hosts_per_task": "3"}
"""The same with five or six hosts in two tasks, so that a producer may still die between them."""
WATCHED = {**SHORTENED, "replicas_wait": "2", "replicas_wait_ms": "1000"}
SHIPPED: Mapping[str, str] = {"lock_wait": "5"}
"""Nothing is shortened but the clients' patience, so that a popular group does not hold them all up."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long the silences last, in seconds; each is chosen against the settings that it is to outlast."""

    worker_frozen: float
    redis_frozen: float
    redis_down: float
    swallowed: float
    host_down: float
    host_frozen: float
    silence: float
    lands_late: tuple[float, float]
    """After how long a delayed effect lands: below the settling and, where that leaves room, above the read
    timeout, so that its client has left."""
    deadline: float
    """Of an operation; a host is down for longer."""
    asleep: float
    """A producer sleeps at each step: for longer than the sweep's patience."""


BRIEF = Times(4.5, 5, 1.5, 3, 9, 4, 5, (0.9, 1.2), 8, 2.5)
"""A worker is frozen past `send_by` and the sweep's patience."""
FROZEN = replace(BRIEF, worker_frozen=33)
"""A worker is frozen past the visibility timeout, too."""
LONG = Times(33, 30, 5, 5, 12, 8, 8, (0.9, 1.2), 8, 5)
REAL = Times(95, 30, 5, 12, 75, 25, 30, (9.0, 9.8), 60, 60)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    name: str
    pool: str
    operations: int
    seed: int
    times: Times
    passes: int = 1
    """How often every nemesis has its turn."""
    settings: Mapping[str, str] = field(default_factory=lambda: SHORTENED)
    failovers: bool = False
    """Redis has replicas and Sentinels; what is lost is the primary."""
    before: bool = False
    """A worker of the release before works beside the others; what it does not know is not asked for."""


TIERS: Mapping[str, tuple[Plan, ...]] = {
    "quick": (
        Plan("threads", "threads", 150, 2601, FROZEN),
        Plan("prefork", "prefork", 75, 2602, BRIEF),
        Plan("slices", "threads", 75, 2605, BRIEF, settings=SLICED),
        Plan("failovers", "threads", 60, 2606, BRIEF, settings=WATCHED, failovers=True),
        Plan("release before", "threads", 60, 2607, BRIEF, before=True),
    ),
    "nightly": (
        Plan("shortened", "threads", 5000, 2603, LONG, passes=10),
        Plan("shipped", "threads", 300, 2604, REAL, settings=SHIPPED),
    ),
}
MOST_SETTLED = 60.0
"""Seconds beside the settling in which every operation must have ended once all faults are healed."""
