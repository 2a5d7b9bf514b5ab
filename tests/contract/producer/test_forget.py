"""lockstep forget, and what doctor tells of the memory that deleted groups take."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.doctor import Level
from lockstep.producer.doctor.facts import on_remembered
from lockstep.worker.operation.drift import EndsSize
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import RedisFacts
from lockstep.worker.settings import Settings, load_settings
from lockstep.worker.tasks.tasks import forget_deleted
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand

DAY = 86_400_000
MIB = 1 << 20


def delete(cluster: ClusterClient, hand: Hand, group: str, days: int) -> str:
    """Delete a group everywhere, so many days ago; return the key under which that is remembered."""
    hand.commit(cluster.delete_group(group))
    key = Keys(hand.settings.key_prefix).ends(group)  # type: ignore[arg-type]
    for host, text in cast(dict[str, str], hand.redis.hgetall(key)).items():
        presence, operation, at, fingerprint = text.split(" ")
        hand.redis.hset(key, host, f"{presence} {operation} {int(at) - days * DAY} {fingerprint}")
    return key


def test_a_preview_changes_nothing_and_yes_frees_the_memory(
    lockstep: Run, cluster: ClusterClient, hand: Hand
) -> None:
    old, new = delete(cluster, hand, "old", 100), delete(cluster, hand, "new", 10)
    hand.commit(cluster.create_group("there"))
    before = hand.content()
    size = hand.redis.memory_usage(old)

    shown = lockstep("forget", "--deleted-before", "90d")
    head, row, last = shown.out.splitlines()
    assert (shown.code, shown.err) == (0, "")
    assert head.split() == ["GROUP", "HOSTS", "DELETED", "BYTES"]
    assert row.split() == ["old", "3", "100", "days", "ago", str(size)]
    assert last == f"would forget 1 group, {size} bytes: nothing was changed, --yes does it"
    assert hand.content() == before
    document = json.loads(lockstep("forget", "--deleted-before", "5d", "--json").out)
    assert [each["group"] for each in document["groups"]] == ["new", "old"]
    assert document["forgotten"] is False

    done = lockstep("forget", "--deleted-before", "90d", "--yes")
    assert done.out.splitlines()[-1] == f"forgot 1 group, {size} bytes"
    assert not hand.redis.exists(old)
    assert hand.redis.exists(new)
    assert lockstep("forget", "--deleted-before", "soon").code == 2
    assert "--deleted-before" in lockstep("forget").err


def forgotten(hand: Hand, settings: Settings) -> int:
    """Have all of Redis looked at, some keys at a time; return how many groups were forgotten."""
    count = forget_deleted(hand.store, settings)
    while hand.redis.get(Keys(hand.settings.key_prefix).tidied) != "0":
        count += forget_deleted(hand.store, settings)
    return count


def test_workers_forget_after_the_time_that_is_set(
    cluster: ClusterClient, hand: Hand, settings: Settings
) -> None:
    old, new = delete(cluster, hand, "old", 100), delete(cluster, hand, "new", 10)
    assert forgotten(hand, settings) == 1
    assert not hand.redis.exists(old)
    assert forgotten(hand, load_settings(deleted_days=5)) == 1
    assert not hand.redis.exists(new)


def test_doctor_says_in_how_many_days_redis_is_full(settings: Settings) -> None:
    redis = RedisFacts("9.1.2", aof=True, fsync="always", policy="noeviction", used=78 * MIB, limit=100 * MIB)
    kept = EndsSize(groups=3000, size=3_000_000, deleted=1000, deleted_size=1_000_000, daily=100_000)
    said = "3000 groups remembered in 3 MB, 1000 of them deleted, in 1 MB; "
    said += "of those 100 kB come a day, and each is kept for 90 days"
    full = on_remembered(kept, redis, settings)
    assert full.level is Level.WARNING
    assert full.text == f"{said}; new operations are refused in about 21 days"
    assert "lockstep forget --deleted-before" in str(full.remedy)
    for sound in (replace(redis, used=8 * MIB), replace(redis, limit=0)):
        finding = on_remembered(kept, sound, settings)
        assert (finding.level, finding.text, finding.remedy) == (Level.OK, said, None)
