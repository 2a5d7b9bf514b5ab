"""A group that was deleted everywhere is forgotten, and none that something may still bring back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lockstep.worker.operation.model import Action, GroupId, Millis
from lockstep.worker.record.ends import WEEK
from lockstep.worker.record.keys import Keys
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
    deleted(still_redis)
    store = still_redis.store
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
    assert 100 < store.remembered().groups < 400  # of a quarter of the keys
    redis_bench.client.set(keys.tidied, "garbage")
    found = [store.forget_deleted(60_000)]
    while redis_bench.client.get(keys.tidied) != "0":
        found.append(store.forget_deleted(60_000))
    assert len(found) > 5
    assert sum(found) == 100
    assert all(int(group[1:]) % 2 == 0 for group in store.groups_with_ends())
    assert store.forget_deleted(60_000) == 0
