"""How a thread hears of events; in asyncio it is one of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from inspect import signature
from typing import Any

import pytest
import redis

from lockstep.worker.connection import primary
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.process import forks
from lockstep.worker.record.events import (
    Events,
    Hosts,
    Snapshot,
    Subscription,
    _gathering,
    follow,
    follow_async,
)
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from lockstep.worker.settings import load_settings
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, B, Driver
from tests.unit.raw_server import refusing_port
from tests.waits import PATIENCE, eventually

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


def test_who_is_cut_off_asks_for_no_more_messages(told: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    asks: list[float] = []

    def cut_off(timeout: float) -> None:
        asks.append(timeout)
        raise redis.ConnectionError("Connection closed by server.")

    heard: Any = told
    monkeypatch.setattr(heard._pubsub, "get_message", cut_off)
    assert waited(told, A_WHILE)
    assert len(asks) == 1


def test_one_whose_server_has_become_the_wrong_one_is_subscribed_over_another_connection(
    told: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Any = told
    monkeypatch.setitem(primary._left, heard._pubsub.connection._host_error(), time.monotonic())
    assert heard._pubsub.connection.outdated
    eventually(lambda: subscribed(told), "Redis confirms it in time")
    assert not heard._pubsub.connection.outdated


def test_who_gives_no_time_is_told_once_how_an_operation_stands(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()

    async def awaited(lasts: float) -> list[Snapshot]:
        return [each async for each in follow_async(link, create.id, lasts)]

    assert len(list(follow(link, create.id, 0.0))) == len(asyncio.run(awaited(0.0))) == 1
    assert len(list(follow(link, create.id, 0.1))) > 1, "who gives some is told again when it is over"
    assert len(asyncio.run(awaited(0.1))) > 1


def test_who_follows_an_operation_hears_of_events(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()
    channel = link.keys.events(create.id)

    def heard() -> bool:
        return redis_bench.client.pubsub_numsub(channel) == [(channel, 1)]

    async def awaited() -> bool:
        async with aclosing(follow_async(link, create.id, PATIENCE)) as changes:
            async for _ in changes:
                if heard():
                    return True
        return False

    assert asyncio.run(awaited())
    eventually(lambda: not heard(), "who leaves off hears no more")
    with closing(follow(link, create.id, PATIENCE)) as told:
        assert any(heard() for _ in told)


@pytest.mark.parametrize(
    ("hosts", "first", "last"), [("never", 0, 0), ("once decided", 0, 2), ("always", 2, 2)]
)
def test_hosts_are_read_with_an_operation_when_who_follows_it_asks_for_that(
    redis_bench: RedisBench, link: Link, hosts: Hosts, first: int, last: int
) -> None:
    awaited = Driver(redis_bench).accepted()
    plain = Driver(redis_bench, "two")
    plain.store.accept(plain.request(group=GroupId("other")))

    def over(found: Snapshot) -> bool:
        """Other events may be heard of before the decision, and read after it."""
        return found.operation is not None and found.operation.ended and len(found.steps) == last

    async def scenario() -> None:
        async with aclosing(follow_async(link, awaited.id, PATIENCE, hosts=hosts)) as changes:
            assert len((await anext(changes)).steps) == first
            await asyncio.to_thread(awaited.apply, A, B)
            async for found in changes:
                if over(found):
                    return
        raise AssertionError("it is told with its hosts")

    asyncio.run(scenario())
    with closing(follow(link, plain.id, PATIENCE, hosts=hosts)) as told:
        assert len(next(told).steps) == first
        plain.apply(A, B)
        assert any(over(found) for found in told)


def test_what_hosts_do_before_the_decision_is_no_reason_to_read_for_who_waits_for_the_end(
    redis_bench: RedisBench,
) -> None:
    create = Driver(redis_bench).accepted()
    assert (_gathering(create.kept(), each=True), _gathering(None, each=False)) == (0.05, 0.05)
    assert _gathering(create.kept(), each=False) == 1.0
    assert _gathering(create.roll_back().kept(), each=False) == 0.05
    assert all(signature(each).parameters["each"].default is True for each in (follow, follow_async))


def test_who_follows_an_operation_is_known_until_it_leaves_off(link: Link) -> None:
    with Events(link, OPERATION) as events:
        assert link.followed == {events}
    assert link.followed == set()


def test_who_follows_hears_of_events_in_a_forked_child_too(redis_bench: RedisBench, link: Link) -> None:
    with Events(link, OPERATION) as events:
        eventually(lambda: subscribed(events), "Redis confirms it in time")
        before = [events._pubsub, link._client, link.store, link._brief, link.waiting, link.subscriber]
        link.start_anew()  # as in a child
        assert all(any(each is left for left in forks._left) for each in before), "they are the parent's"
        eventually(lambda: subscribed(events), "Redis confirms it in time")
        assert redis_bench.client.pubsub_numsub(link.keys.events(OPERATION))[0][1] == 2
        redis_bench.client.publish(link.keys.events(OPERATION), '{"what": "decided"}')
        assert events.wait(PATIENCE, gather=PATIENCE)
