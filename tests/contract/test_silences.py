"""What workers tell each other of hosts that do not answer."""

from __future__ import annotations

import json
from typing import cast

import pytest

from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Silences
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, B

LONG = 60_000
"""Milliseconds: no test takes so long. What is to be over is dated back instead of waited for."""


@pytest.fixture
def silences(redis_bench: RedisBench) -> Silences:
    return Silences(redis_bench.client, Keys(PREFIX))


def date_back(bench: RedisBench, milliseconds: int) -> None:
    """Let the silences be as if so much time had passed."""
    key = Keys(PREFIX).spared
    for host, text in cast(dict[str, str], bench.client.hgetall(key)).items():
        silence = json.loads(text)
        moved = {name: silence[name] - milliseconds for name in ("since", "until")}
        bench.client.hset(key, host, json.dumps(silence | moved))


def test_a_spell_is_known_to_all_until_it_is_over(silences: Silences, redis_bench: RedisBench) -> None:
    begun = redis_bench.now()
    silences.spare(A, LONG, 10, "connection refused")
    found = silences.left(A)
    assert found is not None
    silence, left = found
    assert (silence.host, silence.failures, silence.why) == (A, 10, "connection refused")
    assert begun <= silence.since <= redis_bench.now()
    assert silence.until == silence.since + LONG
    assert 0 < left <= LONG
    assert list(silences.all()) == [A]
    assert silences.left(B) is None

    date_back(redis_bench, LONG)

    assert silences.left(A) is None
    assert silences.all() == {}


def test_a_silence_is_over_at_its_moment(still_redis: RedisBench) -> None:
    silences = Silences(still_redis.client, Keys(PREFIX))
    silences.spare(A, 5_000, 10, "x")
    still_redis.pass_time(4_000)
    _, left = silences.left(A) or (None, 0)
    assert 0 < left <= 1_000
    still_redis.pass_time(1_000)
    assert (silences.left(A), silences.all()) == (None, {})


def test_an_answer_ends_it(silences: Silences, redis_bench: RedisBench) -> None:
    silences.spare(A, LONG, 10, "x")
    silences.spare(B, LONG, 10, "x")
    silences.answered(A)
    assert list(silences.all()) == [B]
    silences.answered(B)
    assert redis_bench.key_names() == set()


def test_a_host_that_stays_silent_is_in_one_spell(silences: Silences, redis_bench: RedisBench) -> None:
    silences.spare(A, LONG, 10, "first")
    first, _ = silences.all()[A]
    date_back(redis_bench, 2 * LONG)
    assert silences.left(A) is None
    silences.spare(A, LONG, 11, "second")
    second, _ = silences.all()[A]
    assert (second.since, second.failures, second.why) == (first.since - 2 * LONG, 11, "second")
    assert second.until >= first.until


def test_a_later_silence_is_another_spell(silences: Silences, redis_bench: RedisBench) -> None:
    silences.spare(A, LONG, 10, "x")
    first, _ = silences.all()[A]
    date_back(redis_bench, LONG + 2 * LONG)
    silences.spare(A, LONG, 10, "x")
    assert silences.all()[A][0].since >= first.since


def test_what_nobody_ended_is_dropped_by_redis(silences: Silences, redis_bench: RedisBench) -> None:
    silences.spare(A, LONG, 10, "x")
    assert 0 < redis_bench.client.pttl(Keys(PREFIX).spared) <= 86_400_000


def test_asking_leaves_nothing_behind(silences: Silences, redis_bench: RedisBench) -> None:
    assert silences.left(A) is None
    assert redis_bench.key_names() == set()
