"""What the doctor finds: of Redis here, of the rest in checks.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lockstep.worker.operation.drift import Remembered
from lockstep.worker.operation.model import Millis, Operation
from lockstep.worker.operation.names import counted
from lockstep.worker.record.link import RedisFacts
from lockstep.worker.settings import Settings


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    text: str
    remedy: str | None = None


OLDEST = (6, 2)
"""The first Redis that has ZADD LT, which the sweep's list of due operations is kept with."""
FULL = 0.7
"""Share of what an installation may grow to, from which on it is time to do something: docs/scale.md."""
RECORD, RECORD_OF_A_HOST = 0.7 * 1024, 0.33 * 1024
"""Bytes of the record of an operation, and of each of its hosts, as docs/scale.md has them."""
HOUR, DAY = 3_600_000, 86_400_000
"""In milliseconds."""
WORKER_CONNECTIONS = 42
OTHER_CONNECTIONS = 20
"""Connections at most, of a worker, and of all others together: docs/operations.md#connections."""


def on_redis(facts: RedisFacts, watermark: float) -> list[Finding]:
    """Judge Redis: it must keep what it acknowledged, and must never evict."""
    found = [_on_version(facts.version)]
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


def _on_version(version: str) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < OLDEST:
        text = f"version {version} lacks commands that Lockstep uses"
        return Finding("redis", Level.FAILURE, text, f"Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey")
    return Finding("redis", Level.OK, f"version {version}")


def on_connections(facts: RedisFacts, workers: int) -> list[Finding]:
    """Compare the connections that Redis takes with those that there are, and that there may be."""
    if not facts.most_clients:
        return []
    remedy = "raise maxclients on the server: docs/operations.md#connections has those of each process"
    has = f"{facts.clients} of {facts.most_clients} connections"
    if facts.clients >= FULL * facts.most_clients:
        text = f"{has}: once all are taken, whoever comes next waits for one"
        return [Finding("redis", Level.WARNING, text, remedy)]
    wanted = workers * WORKER_CONNECTIONS + OTHER_CONNECTIONS
    if wanted > FULL * facts.most_clients:
        text = f"{has}; {counted(workers, 'worker')} under load and their callers may want {wanted}"
        return [Finding("redis", Level.WARNING, text, remedy)]
    return [Finding("redis", Level.OK, has)]


def on_remembered(kept: Remembered, facts: RedisFacts, settings: Settings) -> Finding:
    """Tell what deleted groups take in Redis, how that grows, and when it comes to the watermark."""
    each_day, days = kept.daily, settings.deleted_days
    text = f"{counted(kept.groups, 'group')} remembered in {size(kept.size)}"
    if kept.deleted:
        text += (
            f", {kept.deleted} of them deleted, in {size(kept.deleted_size)}; of those {size(each_day)} come"
        )
        text += f" a day, and each is kept for {days:g} days"
    room = settings.memory_watermark * facts.limit - facts.used
    more = each_day * days - kept.deleted_size  # from then on as many go as come
    if not facts.limit or not each_day or more <= room:
        return Finding("memory", Level.OK, text)
    text += f"; new operations are refused in about {max(0, room) / each_day:.0f} days"
    remedy = "lower LOCKSTEP_DELETED_DAYS, raise maxmemory, or: lockstep forget --deleted-before 30d"
    return Finding("memory", Level.WARNING, text, remedy)


def on_records(
    newest: Sequence[Operation], now: Millis, kept: Remembered, facts: RedisFacts, settings: Settings
) -> Finding:
    """Tell what the records of operations come to, if as many go on coming as the newest few."""
    if not newest:
        return Finding("records", Level.OK, "no operation has a record")
    hosts = sum(each.hosts_total for each in newest) / len(newest)
    lasted = max(HOUR, now - min(each.created_at for each in newest))
    daily = len(newest) * DAY / lasted
    number = min(settings.retention_count, daily * settings.retention_days)
    needed = number * (RECORD + hosts * RECORD_OF_A_HOST)
    text = f"{daily:.0f} operations a day of {hosts:.0f} hosts: their records come to {size(round(needed))}"
    allowed = settings.memory_watermark * facts.limit
    reached = max(facts.used, needed + kept.size)
    if not facts.limit or reached <= FULL * allowed:
        return Finding("records", Level.OK, text)
    text += f", and all to {reached / allowed:.0%} of what Redis may hold before operations are refused"
    remedy = "lower LOCKSTEP_RETENTION_DAYS or LOCKSTEP_RETENTION_COUNT, or raise maxmemory: docs/scale.md"
    return Finding("records", Level.WARNING, text, remedy)


def size(number: int) -> str:
    """Return bytes as people read them."""
    for power, unit in enumerate(("bytes", "kB", "MB")):
        if number < 1000 ** (power + 1):
            return f"{number / 1000**power:.0f} {unit}"
    return f"{number / 1000**3:.1f} GB"
