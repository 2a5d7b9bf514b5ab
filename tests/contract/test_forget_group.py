"""A group that was deleted everywhere is forgotten, and none that something may still bring back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest

from lockstep.worker.operation.drift import EndsSize
from lockstep.worker.operation.model import Action, GroupId, Millis
from lockstep.worker.record.ends import LOOKED_AT, WEEK
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from tests.contract.bench import PREFIX, Bench, RedisBench
from tests.contract.driver import GROUP, A, B, Driver
from tests.contract.test_patrol import drift, give_up


def deleted(bench: Bench, name: str = "one") -> Driver:
    return Driver(bench, name, action=Action.DELETE).accepted().apply(A, B).commit()


def later(bench: Bench) -> Millis:
    bench.pass_time(2)
    return bench.now()


def test_a_group_that_was_deleted_everywhere_is_forgotten(bench: Bench) -> None:
    before = bench.now()
    driver = deleted(bench)
    assert bench.store.forget_group(GROUP, before) is None
    moment = later(bench)
    looked = bench.store.forget_group(GROUP, moment, dry_run=True)
    assert looked is not None
    assert (looked.group, looked.hosts) == (GROUP, 2)
    assert before <= looked.at < moment
    assert bench.store.forget_group(GROUP, looked.at, dry_run=True) is None, "it ended then, and not before"
    assert bench.store.forget_group(GROUP, Millis(looked.at + 1), dry_run=True) == looked
    assert set(bench.ends(GROUP)) == {A, B}
    assert bench.store.forget_group(GROUP, moment) == looked
    assert bench.ends(GROUP) == {}
    assert bench.store.forget_group(GROUP, moment) is None
    assert driver.kept().ended  # its record goes with its own retention


def at_work(bench: Bench) -> None:
    Driver(bench, "two").accepted()


def watched(bench: Bench) -> None:
    give_up(Driver(bench, "two").accepted())


def differing(bench: Bench) -> None:
    ends = bench.store.ends(GROUP)
    assert bench.store.keep_drift(GROUP, ends, {A: drift()}) is not None


def somewhere(bench: Bench) -> None:
    Driver(bench, "two").accepted((A,)).apply(A).commit()


def deleted_since(bench: Bench) -> None:
    bench.pass_time(20)
    deleted(bench, "two")


@pytest.mark.parametrize("kept_for", [at_work, watched, differing, somewhere, deleted_since])
def test_any_other_is_kept(bench: Bench, kept_for: Callable[[Bench], None]) -> None:
    deleted(bench)
    early = Millis(later(bench) + 10)
    kept_for(bench)
    kept = bench.ends(GROUP)
    moment = early if kept_for is deleted_since else later(bench)
    assert bench.store.forget_group(GROUP, moment) is None
    assert bench.ends(GROUP) == kept


def test_what_was_deleted_within_a_week_is_what_a_day_brings(still_redis: RedisBench) -> None:
    store = still_redis.store
    assert store.remembered() == EndsSize(0, 0, 0, 0, 0)
    deleted(still_redis)
    told = store.remembered()
    assert told.daily == round(told.deleted_size / 7) > 0
    assert [told.size, 0] == store.sizes([GROUP, GroupId("nobodys")])
    assert (told.groups, told.deleted, told.deleted_size) == (1, 1, told.size)
    still_redis.pass_time(WEEK)
    assert store.remembered() == told
    still_redis.pass_time(1)
    assert store.remembered() == replace(told, daily=0)


def test_the_patrol_goes_over_all_groups_bit_by_bit(
    redis_bench: RedisBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.worker.record.ends.LOOKED_AT", 10)
    store = redis_bench.store
    keys = Keys(PREFIX)
    for n in range(200):
        presence = "absent" if n % 2 else "present"
        redis_bench.client.hset(keys.ends(GroupId(f"g{n}")), "a", f"{presence} one {n} url")
    told = store.remembered()
    assert (told.groups, told.daily) == (200, 0)
    assert 70 < told.deleted < 130
    assert told.size > told.deleted_size > 0
    monkeypatch.setattr("lockstep.worker.record.ends.ESTIMATED_FROM", 50)
    redis_bench.client.config_resetstat()
    assert 100 < store.remembered().groups < 400  # of a quarter of the keys
    assert redis_bench.client.info("commandstats")["cmdstat_scan"]["calls"] == 5
    redis_bench.client.set(keys.tidied, "garbage")
    found = [store.forget_deleted(60_000)]
    while redis_bench.client.get(keys.tidied) != "0":
        found.append(store.forget_deleted(60_000))
    assert len(found) > 5
    assert sum(found) == 100
    assert all(int(group[1:]) % 2 == 0 for group in store.groups_with_ends())
    assert store.forget_deleted(60_000) == 0


@pytest.mark.parametrize(("keys", "groups"), [(500, 1), (1_000, 1), (3_000, 3)])
def test_of_groups_that_were_not_looked_at_as_many_are_estimated_as_of_the_others(
    redis_bench: RedisBench, monkeypatch: pytest.MonkeyPatch, keys: int, groups: int
) -> None:
    store = redis_bench.store
    monkeypatch.setattr("lockstep.worker.record.ends.ESTIMATED_FROM", LOOKED_AT)
    monkeypatch.setattr(store, "_some_groups", lambda _: (7, [GROUP]))
    monkeypatch.setattr(store, "_keys_there", lambda: keys)
    assert store.remembered().groups == groups


def test_the_patrol_forgets_no_group_that_was_deleted_lately(still_redis: RedisBench) -> None:
    deleted(still_redis)
    store = still_redis.store
    still_redis.pass_time(1_000)
    assert (store.forget_deleted(60_000), store.forget_deleted(500)) == (0, 1)


def test_of_groups_that_are_to_be_looked_at_it_is_told_how_many_are_late_and_for_how_long(
    still_redis: RedisBench, link: Link
) -> None:
    now = link.store.now()
    assert link.store.patrol_overdue() == (0, 0)
    still_redis.client.zadd(link.keys.patrol, {"later": now + 60_000})
    assert link.store.patrol_overdue() == (0, 0), "it is not due yet"
    still_redis.client.zadd(link.keys.patrol, {"first": now - 5_000, "second": now - 1_000})
    late, since = link.store.patrol_overdue()
    assert late == 2
    assert 5_000 <= since < 60_000


def test_a_group_that_redis_names_twice_is_told_once(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [link.keys.ends(GroupId(name)) for name in ("a", "b", "a")]
    monkeypatch.setattr(link.store, "_client", Mock(scan_iter=lambda **_: iter(names)))
    assert list(link.store.groups_with_ends()) == ["a", "b"]
