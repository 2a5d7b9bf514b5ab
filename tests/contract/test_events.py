"""How a thread hears of events; in asyncio it is one of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.events import Events, Subscription
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from lockstep.worker.settings import load_settings
from tests.contract.bench import PREFIX
from tests.unit.raw_server import refusing_port
from tests.waiting import PATIENCE, eventually

OPERATION = OperationId("told")
CHANNEL = Keys(PREFIX).events(OPERATION)


def subscribed(events: Events) -> bool:
    """Subscribe; on a busy machine the confirmation may come too late, and it only waits then."""
    events.subscribe()
    return events._subscribed


@pytest.fixture
def told(link: Link) -> Iterator[Events]:
    with Events(link, OPERATION) as events:
        eventually(lambda: subscribed(events), "Redis confirms it in time")
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
    say(client, "step")
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE), "while others are gathered too"


A_WHILE = 0.1


def waited(events: Events, timeout: float, gather: float = 0.0) -> bool:
    """Whether a wait that hears of nothing decisive takes that while, and no more."""
    began = time.monotonic()
    assert not events.wait(timeout, gather)
    return A_WHILE <= time.monotonic() - began < PATIENCE


def test_who_hears_of_nothing_waits_for_as_long_as_is_said(told: Events, client: redis.Redis) -> None:
    assert waited(told, A_WHILE)
    say(client, "step")
    assert waited(told, PATIENCE + 1, gather=A_WHILE)
    client.client_kill_filter(_type="pubsub")
    assert waited(told, A_WHILE), "without a subscription too"
    told.subscribe()
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE)


def test_who_waits_asks_for_messages_only_while_time_is_left(
    told: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    pubsub: Any = told._pubsub
    asks: list[float] = []
    ask = pubsub.get_message

    def asked(timeout: float, **how: Any) -> Any:
        asks.append(timeout)
        return ask(timeout=timeout, **how)

    monkeypatch.setattr(pubsub, "get_message", asked)
    assert waited(told, A_WHILE)
    assert asks
    assert min(asks) > 0


def test_who_cannot_subscribe_waits_all_the_same() -> None:
    away = load_settings(redis_url=f"redis://127.0.0.1:{refusing_port()}/0", key_prefix=PREFIX)
    with closing(Link(away)) as link, Events(link, OPERATION) as events:
        events.subscribe()
        assert waited(events, A_WHILE)


def test_a_subscription_to_nothing_is_waited_for_and_brings_nothing(link: Link) -> None:
    began = time.monotonic()
    with closing(Subscription(link.subscriber.connection_pool)) as nothing:
        assert nothing.get_message(timeout=A_WHILE) is None
    assert time.monotonic() - began >= A_WHILE


def test_what_was_said_before_one_subscribes_again_is_heard(told: Events, client: redis.Redis) -> None:
    say(client, "decided")
    told.subscribe()
    assert told.wait(PATIENCE, gather=PATIENCE)
    assert client.pubsub_numsub(CHANNEL) == [(CHANNEL, 1)]
