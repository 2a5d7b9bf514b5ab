"""Each fault of an installation is found, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from producer.doctor import SKEW, RedisFacts, WorkFacts, on_hosts, on_redis, on_work
from producer.findings import Level
from worker.settings import Settings

MIB = 1 << 20
REDIS = RedisFacts("9.1.2", aof=True, fsync="always", policy="noeviction", used=8 * MIB, limit=0)
WORK = WorkFacts({"a@x": ["operations"], "b@x": ["rollback"]}, swept=True)


@pytest.mark.parametrize("facts", [REDIS, replace(REDIS, limit=11 * MIB), replace(REDIS, policy=None)])
def test_a_sound_redis(facts: RedisFacts) -> None:
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
def test_an_unsound_redis(facts: RedisFacts, level: Level, said: str) -> None:
    (bad,) = (each for each in on_redis(facts, 0.8) if each.level is not Level.OK)
    assert bad.level is level
    assert said in bad.text
    assert bad.remedy


@pytest.mark.parametrize(
    ("facts", "level", "subject"),
    [
        (replace(WORK, queues={"a@x": ["operations"]}), Level.FAILURE, "queue rollback"),
        (replace(WORK, queues={"b@x": ["rollback"]}), Level.FAILURE, "queue operations"),
        (replace(WORK, lengths={"operations": 1001}), Level.WARNING, "queue operations"),
        (replace(WORK, swept=False), Level.FAILURE, "sweep"),
        (replace(WORK, stuck=1), Level.WARNING, "operations"),
        (replace(WORK, skew=-SKEW), Level.WARNING, "clock"),
    ],
)
def test_work_that_is_not_done(facts: WorkFacts, level: Level, subject: str) -> None:
    (bad,) = (each for each in on_work(facts, Settings()) if each.level is not Level.OK)
    assert (bad.level, bad.subject) == (level, subject)
    assert bad.remedy


def test_work_that_is_done() -> None:
    at_its_limits = replace(WORK, lengths={"operations": 1000}, skew=SKEW - 1)
    assert {each.level for each in on_work(at_its_limits, Settings())} == {Level.OK}


def test_hosts() -> None:
    bad, good = on_hosts({"node1": None, "node2": "403", "node3": None})
    assert (bad.level, bad.text) == (Level.FAILURE, "node2: 403")
    assert (good.level, good.text) == (Level.OK, "2 hosts answering")
    assert [each.level for each in on_hosts({"node1": "403"})] == [Level.FAILURE]
