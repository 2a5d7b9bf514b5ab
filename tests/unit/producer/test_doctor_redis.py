"""What doctor says of Redis: how it keeps, its version, replicas, connections, and room for records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.doctor.facts import on_connections, on_records, on_redis, on_replicas
from lockstep.worker.operation.drift import EndsSize
from lockstep.worker.operation.model import Millis
from lockstep.worker.record.link import RedisFacts
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import OPERATION

MIB = 1 << 20
REDIS = RedisFacts("9.1.2", aof=True, fsync="always", policy="noeviction", used=8 * MIB, limit=0)


@pytest.mark.parametrize("facts", [REDIS, replace(REDIS, limit=11 * MIB), replace(REDIS, policy=None)])
def test_a_sound_redis_is_ok_in_every_line(facts: RedisFacts) -> None:
    assert {each.level for each in on_redis(facts, 0.8)} == {Level.OK}


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (replace(REDIS, aof=False), Level.FAILURE, "appendonly is off"),
        (replace(REDIS, fsync="everysec"), Level.WARNING, "appendfsync is everysec"),
        (replace(REDIS, fsync=None), Level.WARNING, "appendfsync cannot be read"),
        (replace(REDIS, policy="allkeys-lru"), Level.FAILURE, "maxmemory-policy is allkeys-lru"),
        (replace(REDIS, limit=10 * MIB), Level.FAILURE, "80% of maxmemory is used"),
    ],
)
def test_an_unsound_redis_is_named_with_a_remedy(facts: RedisFacts, level: Level, said: str) -> None:
    (bad,) = (each for each in on_redis(facts, 0.8) if each.level is not Level.OK)
    assert bad.level is level
    assert said in bad.text
    assert bad.remedy


@pytest.mark.parametrize(
    ("follow", "wanted", "level"), [(2, 2, Level.OK), (3, 2, Level.OK), (1, 2, Level.FAILURE)]
)
def test_replicas_that_are_waited_for_must_be_there(follow: int, wanted: int, level: Level) -> None:
    (found,) = on_replicas(replace(REDIS, replicas=follow), wanted)
    assert found.level is level
    assert found.text.startswith(f"{follow} of {wanted} replicas that are waited for")
    assert on_replicas(REDIS, 0) == []


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("6.0.16", Level.FAILURE),
        ("5.0", Level.FAILURE),
        ("6.2.0", Level.OK),
        ("10.1", Level.OK),
        ("x", Level.OK),
    ],
)
def test_a_redis_that_is_too_old(version: str, level: Level) -> None:
    found = on_redis(replace(REDIS, version=version), 0.8)[0]
    assert found.level is level
    assert bool(found.remedy) == (level is Level.FAILURE)


@pytest.mark.parametrize(
    ("clients", "most", "workers", "said"),
    [
        (12, 10_000, 4, "12 of 10000 connections"),
        (28, 40, 1, "28 of 40 connections: once all are taken, whoever comes next waits for one"),
        (27, 89, 1, "27 of 89 connections"),
        (27, 88, 1, "27 of 88 connections; 1 worker under load and their callers may want 62"),
        (12, 100, 4, "12 of 100 connections; 4 workers under load and their callers may want 188"),
    ],
)
def test_connections_are_compared_with_those_that_redis_takes(
    clients: int, most: int, workers: int, said: str
) -> None:
    (found,) = on_connections(replace(REDIS, clients=clients, most_clients=most), workers)
    assert found.text == said
    assert (found.level is Level.OK) is (found.remedy is None)


def test_a_redis_that_does_not_tell_its_connections_is_not_judged() -> None:
    assert on_connections(REDIS, 4) == []


def records(number: int, hosts: int, within: int, limit: int) -> Finding:
    """What is found where so many operations came within so many milliseconds."""
    newest = [replace(OPERATION, created_at=Millis(0), hosts_total=hosts) for _ in range(number)]
    facts, forgotten = replace(REDIS, used=0, limit=limit * MIB), EndsSize(0, 0, 0, 0, 0)
    settings = Settings(retention_days=10, retention_count=10_000)
    return on_records(newest, Millis(within), forgotten, facts, settings)


def test_records_are_held_against_what_redis_may_hold_once_all_are_kept() -> None:
    day = 86_400_000
    sound = records(100, 10, day, 10)
    assert (sound.level, sound.text) == (
        Level.OK,
        "100 operations a day of 10 hosts: their records come to 4 MB",
    )
    full = records(100, 10, day, 6)
    assert full.level is Level.WARNING
    of = ", and all to 81% of what Redis may hold before operations are refused"
    assert full.text == sound.text + of
    assert full.remedy
    assert records(100, 10, day, 0).level is Level.OK, "there is no limit"
    assert records(100, 1000, 60_000, 0).text == (
        "2400 operations a day of 1000 hosts: their records come to 3.4 GB"
    ), "a burst is a rate of its hour, and no more are kept than retention_count"
    assert records(0, 0, 0, 1).level is Level.OK


@pytest.mark.parametrize(
    ("kept", "level", "told"),
    [
        (69, Level.OK, ""),
        (71, Level.WARNING, ", and all to 71% of what Redis may hold before operations are refused"),
    ],
)
@pytest.mark.parametrize("by", ["records", "what is used"])
def test_records_are_warned_of_above_70_percent_of_what_redis_may_hold(
    by: str, kept: int, level: Level, told: str
) -> None:
    """1,000 operations of 10 hosts in ten days, each of 0.7 KiB and 0.33 KiB a host: docs/scale.md."""
    needed = 1000 * 1024 * (0.7 + 10 * 0.33)
    settings = Settings(retention_days=10, retention_count=10_000)
    allowed = 100 / kept * (needed if by == "records" else 2 * needed)
    used = 0 if by == "records" else 2 * needed
    facts = replace(REDIS, used=int(used), limit=int(allowed / settings.memory_watermark))
    newest = [replace(OPERATION, created_at=Millis(0), hosts_total=10)] * 100
    found = on_records(newest, Millis(86_400_000), EndsSize(0, 0, 0, 0, 0), facts, settings)
    text = "100 operations a day of 10 hosts: their records come to 4 MB"
    assert (found.level, found.text) == (level, text + told)
    remedy = "lower LOCKSTEP_RETENTION_DAYS or LOCKSTEP_RETENTION_COUNT, or raise maxmemory: docs/scale.md"
    assert found.remedy == (remedy if told else None)


def test_connections_are_warned_of_above_70_percent_of_those_that_redis_takes() -> None:
    below, above = (
        on_connections(replace(REDIS, clients=clients, most_clients=1000), 2)[0] for clients in (690, 710)
    )
    assert (below.level, below.text, below.remedy) == (Level.OK, "690 of 1000 connections", None)
    assert (above.level, above.text) == (
        Level.WARNING,
        "710 of 1000 connections: once all are taken, whoever comes next waits for one",
    )
    assert above.remedy == (
        "raise maxclients on the server: docs/operations.md#connections has those of each process"
    )


def test_connections_that_workers_may_want_are_warned_of_above_70_percent_too() -> None:
    """16 workers want 42 each, and all others 20: 692."""
    below, above = (
        on_connections(replace(REDIS, clients=5, most_clients=most), 16)[0] for most in (1003, 975)
    )
    assert (below.level, below.text) == (Level.OK, "5 of 1003 connections"), "69 %"
    told = "5 of 975 connections; 16 workers under load and their callers may want 692"
    assert (above.level, above.text) == (Level.WARNING, told), "71 %"
