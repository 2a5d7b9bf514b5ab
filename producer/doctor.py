"""What is wrong with an installation, and what mends it: pure functions of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from producer.findings import Finding, Level
from producer.wording import counted, named, seconds
from worker.celery import OPERATIONS, ROLLBACK
from worker.operation.model import HostName
from worker.operation.pause import Pause
from worker.settings import Settings

SKEW = 2000
"""Milliseconds by which this machine's clock may differ from Redis' before it is worth a word."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What Redis says of itself; None for what it would not say."""

    version: str
    aof: bool
    fsync: str | None
    policy: str | None
    used: int
    limit: int
    """Bytes; 0 for none."""


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What of the workers was seen from here."""

    queues: Mapping[str, Sequence[str]]
    """The queues that each worker that answered takes tasks from."""
    swept: bool
    """A sweep was seen while looking."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """Tasks that wait, by queue."""
    skew: int = 0
    stuck: int = 0


def on_redis(facts: RedisFacts, watermark: float) -> list[Finding]:
    """Judge Redis: it must keep what it acknowledged, and must never evict."""
    found = [Finding("redis", Level.OK, f"version {facts.version}")]
    if not facts.aof:
        text = "appendonly is off: operations are lost when Redis restarts"
        found.append(Finding("redis", Level.FAILURE, text, "appendonly yes"))
    elif facts.fsync is None:
        text = "appendfsync cannot be read: CONFIG GET is refused"
        found.append(Finding("redis", Level.WARNING, text, "see that the server has appendfsync always"))
    elif facts.fsync != "always":
        text = f"appendfsync is {facts.fsync}: a crash of the machine can lose what was acknowledged"
        found.append(Finding("redis", Level.WARNING, text, "appendfsync always"))
    else:
        found.append(Finding("redis", Level.OK, "append-only file, written before it answers"))
    if facts.policy not in (None, "noeviction"):
        text = f"maxmemory-policy is {facts.policy}: records can be evicted"
        found.append(Finding("redis", Level.FAILURE, text, "maxmemory-policy noeviction"))
    if facts.limit and facts.used >= watermark * facts.limit:
        text = f"{facts.used / facts.limit:.0%} of maxmemory is used: new operations are refused"
        found.append(Finding("redis", Level.FAILURE, text, "raise maxmemory, or shorten the retention"))
    else:
        of = f" of {facts.limit >> 20} MiB" if facts.limit else ", without a limit"
        found.append(Finding("redis", Level.OK, f"{facts.used >> 20} MiB used{of}"))
    return found


def on_work(facts: WorkFacts, settings: Settings) -> list[Finding]:
    """Judge the workers, the sweep, the queues and the clocks."""
    found = [_on_queue(queue, facts, settings) for queue in (OPERATIONS, ROLLBACK)]
    if facts.swept:
        found.append(Finding("sweep", Level.OK, f"runs every {settings.sweep_every:g} s"))
    else:
        text = "no sweep was seen: what a lost message or a dead worker left behind is not resumed"
        remedy = "start beat (`celery -A worker beat`), and a worker of the queue rollback"
        found.append(Finding("sweep", Level.FAILURE, text, remedy))
    if facts.stuck:
        text = f"{facts.stuck} need a person" if facts.stuck > 1 else "1 needs a person"
        found.append(Finding("operations", Level.WARNING, text, "lockstep list --stuck"))
    else:
        found.append(Finding("operations", Level.OK, "none needs a person"))
    skew = abs(facts.skew)
    if skew >= SKEW:
        text = f"this machine's differs from Redis' by {seconds(skew)}: --since and --until are off by it"
        found.append(Finding("clock", Level.WARNING, text, "synchronise it by NTP"))
    else:
        found.append(Finding("clock", Level.OK, f"within {seconds(SKEW)} of Redis'"))
    return found


def on_hosts(problems: Mapping[str, str | None]) -> list[Finding]:
    """Judge the hosts: why each gave no usable answer, None for one that did."""
    remedy = "see whether it is up, its URL, token and certificate in the inventory"
    found = [
        Finding("host", Level.FAILURE, f"{host}: {why}", remedy) for host, why in problems.items() if why
    ]
    answering = sum(why is None for why in problems.values())
    if answering:
        found.append(Finding("host", Level.OK, f"{counted(answering)} answering"))
    return found


def on_pauses(pauses: Mapping[HostName, Pause]) -> list[Finding]:
    """Tell which hosts are paused: operations that need one of them are refused."""
    return [
        Finding("host", Level.WARNING, f"{host} is {held.text}", f"lockstep resume {host}")
        for host, held in pauses.items()
    ]


def _on_queue(queue: str, facts: WorkFacts, settings: Settings) -> Finding:
    workers = sorted(name for name, queues in facts.queues.items() if queue in queues)
    length = facts.lengths.get(queue, 0)
    subject = f"queue {queue}"
    if not workers:
        text = f"no worker answers, {length} tasks wait"
        return Finding(subject, Level.FAILURE, text, f"celery -A worker worker -Q {queue}")
    if length > settings.sweep_queue_limit:
        text = f"{length} tasks wait for {named(workers)}"
        return Finding(subject, Level.WARNING, text, "start more workers")
    return Finding(subject, Level.OK, f"{named(workers)}; {length} tasks wait")
