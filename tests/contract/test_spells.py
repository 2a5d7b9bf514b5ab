"""What workers tell each other of hosts that do not answer."""

from __future__ import annotations

import pytest

from lockstep.worker.record.codec import Keys
from lockstep.worker.record.hosts import Spells
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, B


@pytest.fixture
def spells(redis_bench: RedisBench) -> Spells:
    return Spells(redis_bench.client, Keys(PREFIX))


def test_a_spell_is_known_to_all_until_it_is_over(spells: Spells, redis_bench: RedisBench) -> None:
    begun = redis_bench.now()
    spells.spare(A, 60, 10, "connection refused")
    found = spells.left(A)
    assert found is not None
    spell, left = found
    assert (spell.host, spell.failures, spell.why) == (A, 10, "connection refused")
    assert begun <= spell.since <= redis_bench.now()
    assert spell.until == spell.since + 60
    assert 0 < left <= 60
    assert list(spells.all()) == [A]
    assert spells.left(B) is None

    redis_bench.pass_time(60)

    assert spells.left(A) is None
    assert spells.all() == {}


def test_an_answer_ends_it(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, 60_000, 10, "x")
    spells.spare(B, 60_000, 10, "x")
    spells.answered(A)
    assert list(spells.all()) == [B]
    spells.answered(B)
    assert redis_bench.key_names() == set()


def test_a_host_that_stays_silent_is_in_one_spell(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, 30, 10, "first")
    first, _ = spells.all()[A]
    redis_bench.pass_time(40)
    spells.spare(A, 30, 11, "second")
    second, _ = spells.all()[A]
    assert (second.since, second.failures, second.why) == (first.since, 11, "second")
    assert second.until >= first.until + 40 - 30


def test_a_later_silence_is_another_spell(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, 20, 10, "x")
    first, _ = spells.all()[A]
    redis_bench.pass_time(20 + 2 * 20)
    spells.spare(A, 20, 10, "x")
    assert spells.all()[A][0].since > first.since


def test_what_nobody_ended_is_dropped_by_redis(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, 30, 10, "x")
    assert 0 < redis_bench.client.pttl(Keys(PREFIX).spared) <= 86_400_000


def test_asking_leaves_nothing_behind(spells: Spells, redis_bench: RedisBench) -> None:
    assert spells.left(A) is None
    assert redis_bench.key_names() == set()
