"""What workers tell each other of hosts that do not answer."""

from __future__ import annotations

import json
from typing import cast

import pytest

from lockstep.worker.record.codec import Keys
from lockstep.worker.record.hosts import Spells
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, B

LONG = 60_000
"""Milliseconds: no test takes so long. What is to be over is dated back instead of waited for."""


@pytest.fixture
def spells(redis_bench: RedisBench) -> Spells:
    return Spells(redis_bench.client, Keys(PREFIX))


def date_back(bench: RedisBench, milliseconds: int) -> None:
    """Let the spells be as if so much time had passed."""
    key = Keys(PREFIX).spared
    for host, text in cast(dict[str, str], bench.client.hgetall(key)).items():
        spell = json.loads(text)
        moved = {name: spell[name] - milliseconds for name in ("since", "until")}
        bench.client.hset(key, host, json.dumps(spell | moved))


def test_a_spell_is_known_to_all_until_it_is_over(spells: Spells, redis_bench: RedisBench) -> None:
    begun = redis_bench.now()
    spells.spare(A, LONG, 10, "connection refused")
    found = spells.left(A)
    assert found is not None
    spell, left = found
    assert (spell.host, spell.failures, spell.why) == (A, 10, "connection refused")
    assert begun <= spell.since <= redis_bench.now()
    assert spell.until == spell.since + LONG
    assert 0 < left <= LONG
    assert list(spells.all()) == [A]
    assert spells.left(B) is None

    date_back(redis_bench, LONG)

    assert spells.left(A) is None
    assert spells.all() == {}


def test_an_answer_ends_it(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, LONG, 10, "x")
    spells.spare(B, LONG, 10, "x")
    spells.answered(A)
    assert list(spells.all()) == [B]
    spells.answered(B)
    assert redis_bench.key_names() == set()


def test_a_host_that_stays_silent_is_in_one_spell(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, LONG, 10, "first")
    first, _ = spells.all()[A]
    date_back(redis_bench, 2 * LONG)
    assert spells.left(A) is None
    spells.spare(A, LONG, 11, "second")
    second, _ = spells.all()[A]
    assert (second.since, second.failures, second.why) == (first.since - 2 * LONG, 11, "second")
    assert second.until >= first.until


def test_a_later_silence_is_another_spell(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, LONG, 10, "x")
    first, _ = spells.all()[A]
    date_back(redis_bench, LONG + 2 * LONG)
    spells.spare(A, LONG, 10, "x")
    assert spells.all()[A][0].since >= first.since


def test_what_nobody_ended_is_dropped_by_redis(spells: Spells, redis_bench: RedisBench) -> None:
    spells.spare(A, LONG, 10, "x")
    assert 0 < redis_bench.client.pttl(Keys(PREFIX).spared) <= 86_400_000


def test_asking_leaves_nothing_behind(spells: Spells, redis_bench: RedisBench) -> None:
    assert spells.left(A) is None
    assert redis_bench.key_names() == set()
