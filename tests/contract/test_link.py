"""How a process hears of events, and that it asks whether Redis answers no oftener than it must."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.record.events import Events
from lockstep.worker.record.link import REACHED, Link
from lockstep.worker.settings import load_settings
from tests.contract.bench import PREFIX
from tests.waiting import PATIENCE

CHANNEL = "channel"


@pytest.fixture
def told(server: RedisServer) -> Iterator[Events]:
    pool = redis.ConnectionPool.from_url(server.url, decode_responses=True)
    with closing(pool), Events(pool, CHANNEL) as events:
        events.subscribe()
        yield events


def say(client: redis.Redis, what: str) -> None:
    client.publish(CHANNEL, json.dumps({"what": what, "at": 1}))


def test_a_decisive_event_is_told_at_once_and_any_other_once_some_have_gathered(
    told: Events, client: redis.Redis
) -> None:
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE)
    say(client, "step")
    assert not told.wait(PATIENCE, gather=0)


def test_what_was_said_before_one_subscribes_again_is_heard(told: Events, client: redis.Redis) -> None:
    say(client, "decided")
    told.subscribe()
    assert told.wait(PATIENCE, gather=PATIENCE)
    assert client.pubsub_numsub(CHANNEL) == [(CHANNEL, 1)]


def test_redis_is_asked_whether_it_answers_unless_it_has_just_done_so(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[redis.Redis] = []

    def ping(client: redis.Redis) -> None:
        asked.append(client)

    with closing(Link(load_settings(redis_url=server.url, key_prefix=PREFIX))) as link:
        monkeypatch.setattr(redis.Redis, "ping", ping)
        for _ in range(3):
            link.reach()
        assert len(asked) == 1
        link.heard -= REACHED
        link.reach()
        assert len(asked) == 2
