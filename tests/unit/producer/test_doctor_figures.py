"""What doctor says of Redis and of its room, figure for figure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.doctor.facts import on_records, on_redis, on_remembered, size
from lockstep.worker.operation.drift import EndsSize
from lockstep.worker.operation.model import Millis
from lockstep.worker.record.link import RedisFacts
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import OPERATION

MIB = 1 << 20
REDIS = RedisFacts("9.1.2", aof=True, fsync="always", policy="noeviction", used=9 * MIB, limit=0)
SETTINGS = Settings(deleted_days=10, retention_days=10, retention_count=10_000, memory_watermark=0.5)


def told(found: list[Finding]) -> list[str]:
    assert {each.subject for each in found} == {"redis"}
    return [f"{each.level} {each.text}" for each in found]


def test_all_that_is_well_is_told_too() -> None:
    assert told(on_redis(REDIS, 0.8)) == [
        "ok version 9.1.2",
        "ok append-only file, written before it answers",
        "ok 9 MiB used, without a limit",
    ]
    assert told(on_redis(replace(REDIS, limit=13 * MIB), 0.8))[-1] == "ok 9 MiB used of 13 MiB"


def test_the_oldest_redis_that_will_do_is_named() -> None:
    found = on_redis(replace(REDIS, version="6.0.16"), 0.8)[0]
    assert found.remedy == "Redis 6.2 or newer, or Valkey"


KEPT = EndsSize(groups=300, size=9_000_000, deleted=200, deleted_size=6_000_000, daily=1_000_000)
OF_DELETED = (
    "300 groups remembered in 9 MB, 200 of them deleted, in 6 MB; of those 1 MB come a day, "
    "and each is kept for 10 days"
)


@pytest.mark.parametrize(
    ("kept", "used", "limit", "level", "text"),
    [
        (replace(KEPT, deleted=0), 0, 0, Level.OK, "300 groups remembered in 9 MB"),
        (KEPT, 0, 0, Level.OK, OF_DELETED),
        (KEPT, 6_000_000, 20_000_000, Level.OK, OF_DELETED),
        (KEPT, 6_000_001, 20_000_000, Level.WARNING, "; new operations are refused in about 4 days"),
        (KEPT, 8_000_000, 20_000_000, Level.WARNING, "; new operations are refused in about 2 days"),
        (KEPT, 11_000_000, 20_000_000, Level.WARNING, "; new operations are refused in about 0 days"),
        (replace(KEPT, daily=0), 11_000_000, 20_000_000, Level.OK, OF_DELETED.replace("1 MB", "0 bytes")),
    ],
)
def test_what_is_remembered_is_held_against_the_room_that_is_left(
    kept: EndsSize, used: int, limit: int, level: Level, text: str
) -> None:
    """1 MB comes a day for ten days, of 10 MB 6 are there: 4 are to come; a half of Redis may be used."""
    found = on_remembered(kept, replace(REDIS, used=used, limit=limit), SETTINGS)
    assert (found.subject, found.level) == ("memory", level)
    assert found.text == (OF_DELETED + text if level is Level.WARNING else text)
    remedy = "lower LOCKSTEP_DELETED_DAYS, raise maxmemory, or: lockstep forget --deleted-before 30d"
    assert found.remedy == (remedy if level is Level.WARNING else None)


def test_the_operations_of_a_day_are_counted_from_the_oldest_of_the_newest() -> None:
    day = 86_400_000
    newest = [replace(OPERATION, created_at=Millis(at * day), hosts_total=3) for at in (5, 3, 4)]
    found = on_records(newest, Millis(6 * day), EndsSize(0, 0, 0, 0, 0), REDIS, SETTINGS)
    assert found.text == "1 operations a day of 3 hosts: their records come to 17 kB"


@pytest.mark.parametrize(("remembered", "level"), [(0, Level.OK), (5_000_000, Level.WARNING)])
def test_what_is_remembered_takes_of_the_room_for_records(remembered: int, level: Level) -> None:
    newest = [replace(OPERATION, created_at=Millis(0), hosts_total=10)] * 100
    facts = replace(REDIS, used=0, limit=20_000_000)
    kept = EndsSize(0, remembered, 0, 0, 0)
    assert on_records(newest, Millis(86_400_000), kept, facts, SETTINGS).level is level


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999_400_000, "999 MB"),
        (1_000_000_000, "1.0 GB"),
        (1_002_000_000, "1.0 GB"),
        (2_250_000_000, "2.2 GB"),
    ],
)
def test_from_a_gigabyte_on_a_size_has_a_decimal(number: int, text: str) -> None:
    assert size(number) == text
