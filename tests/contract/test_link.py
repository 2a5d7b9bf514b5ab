"""How a process hears of events, and that it asks whether Redis answers no oftener than it must."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from unittest.mock import Mock, call

import pytest
import redis

from lockstep.producer.client.acceptance import REACHED, reach
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.errors import (
    RecordDamaged,
    RecordGone,
    StoreUnavailable,
    UnknownFormat,
    UnknownOperation,
)
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.record.codec import check_format
from lockstep.worker.record.events import AsyncEvents, Events, Snapshot, Subscription, follow, follow_async
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link, unknown
from lockstep.worker.record.queries import StoreErrors
from lockstep.worker.record.scripts import Replicas
from lockstep.worker.settings import load_settings
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.driver import A, Driver
from tests.unit.raw_server import refusing_port
from tests.waiting import PATIENCE

OPERATION = OperationId("told")
CHANNEL = Keys(PREFIX).events(OPERATION)


class AwaitedEvents:
    """What is awaited in asyncio, to be called as its like for threads is."""

    def __init__(self, link: Link) -> None:
        self._runner, self._events = asyncio.Runner(), AsyncEvents(link.settings, CHANNEL)

    def subscribe(self) -> None:
        self._runner.run(self._events.subscribe())

    def wait(self, timeout: float, gather: float) -> bool:
        return self._runner.run(self._events.wait(timeout, gather))

    def close(self) -> None:
        self._runner.run(self._events.close())
        self._runner.close()


def hearing(of: str, link: Link) -> AbstractContextManager[Events | AwaitedEvents]:
    return Events(link, OPERATION) if of == "threads" else closing(AwaitedEvents(link))


@pytest.fixture(params=["threads", "asyncio"])
def told(link: Link, request: pytest.FixtureRequest) -> Iterator[Events | AwaitedEvents]:
    with hearing(request.param, link) as events:
        events.subscribe()
        yield events


def say(client: redis.Redis, what: str) -> None:
    client.publish(CHANNEL, json.dumps({"what": what, "at": 1}))


def test_a_decisive_event_is_told_at_once_and_any_other_once_some_have_gathered(
    told: Events | AwaitedEvents, client: redis.Redis
) -> None:
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE)
    say(client, "step")
    assert not told.wait(PATIENCE, gather=0)
    say(client, "step")
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE), "while others are gathered too"


A_WHILE = 0.1


def waited(events: Events | AwaitedEvents, timeout: float, gather: float = 0.0) -> bool:
    """Whether a wait that hears of nothing decisive takes that while, and no more."""
    began = time.monotonic()
    assert not events.wait(timeout, gather)
    return A_WHILE <= time.monotonic() - began < PATIENCE


def test_who_hears_of_nothing_waits_for_as_long_as_is_said(
    told: Events | AwaitedEvents, client: redis.Redis
) -> None:
    assert waited(told, A_WHILE)
    say(client, "step")
    assert waited(told, PATIENCE + 1, gather=A_WHILE)
    client.client_kill_filter(_type="pubsub")
    assert waited(told, A_WHILE), "without a subscription too"
    told.subscribe()
    say(client, "decided")
    assert told.wait(PATIENCE, gather=PATIENCE)


@pytest.mark.parametrize("of", ["threads", "asyncio"])
def test_who_cannot_subscribe_waits_all_the_same(of: str) -> None:
    away = load_settings(redis_url=f"redis://127.0.0.1:{refusing_port()}/0", key_prefix=PREFIX)
    with closing(Link(away)) as link, hearing(of, link) as events:
        events.subscribe()
        assert waited(events, A_WHILE)


def test_a_subscription_to_nothing_is_waited_for_and_brings_nothing(link: Link) -> None:
    began = time.monotonic()
    with closing(Subscription(link.subscriber.connection_pool)) as nothing:
        assert nothing.get_message(timeout=A_WHILE) is None
    assert time.monotonic() - began >= A_WHILE


def test_what_was_said_before_one_subscribes_again_is_heard(
    told: Events | AwaitedEvents, client: redis.Redis
) -> None:
    say(client, "decided")
    told.subscribe()
    assert told.wait(PATIENCE, gather=PATIENCE)
    assert client.pubsub_numsub(CHANNEL) == [(CHANNEL, 1)]


def test_redis_is_asked_whether_it_answers_unless_it_has_just_done_so(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Link] = []
    monkeypatch.setattr(link.store, "now", lambda: asked.append(link))
    for _ in range(3):
        reach(link)
    assert len(asked) == 1
    link.heard -= REACHED
    reach(link)
    assert len(asked) == 2


@pytest.fixture
def link(server: RedisServer) -> Iterator[Link]:
    with closing(Link(load_settings(redis_url=server.url, key_prefix=PREFIX))) as found:
        yield found


def test_a_link_says_how_long_a_lease_still_lasts(redis_bench: RedisBench, link: Link) -> None:
    assert link.leased("sweep") is None
    redis_bench.store.lease("sweep", 60_000)
    assert 0 < (link.leased("sweep") or 0) <= 60_000


def test_a_link_that_is_closed_waits_for_nobody_who_still_reads(link: Link) -> None:
    reads, through, closed = threading.Event(), threading.Event(), threading.Event()

    def read() -> bool:
        reads.set()
        return through.wait(PATIENCE)

    def close() -> None:
        link.close()
        closed.set()

    async def scenario() -> bool | None:
        reading = asyncio.create_task(link.off_loop(read))
        await asyncio.to_thread(reads.wait, PATIENCE)
        threading.Thread(target=close, daemon=True).start()
        try:
            assert await asyncio.to_thread(closed.wait, PATIENCE)
        finally:
            through.set()
        return await reading

    assert asyncio.run(scenario())


def test_who_gives_no_time_is_told_once_how_an_operation_stands(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()

    async def awaited() -> list[Snapshot]:
        return [each async for each in follow_async(link, create.id, 0.0)]

    assert len(list(follow(link, create.id, 0.0))) == len(asyncio.run(awaited())) == 1


def test_who_follows_an_operation_is_known_until_it_leaves_off(link: Link) -> None:
    with Events(link, OPERATION) as events:
        assert link.followed == {events}
    assert link.followed == set()


def test_as_many_operations_are_listed_as_are_asked_for_and_one_that_is_gone_is_not_put_back(
    redis_bench: RedisBench, link: Link
) -> None:
    store = link.store
    for name in ("one", "two", "three"):
        each = Driver(redis_bench, name)
        store.accept(each.request(group=GroupId(name)))
    assert [len(store.due_times(most)) for most in (0, 1, 2, 3)] == [3, 1, 2, 3]
    store.put_last(OperationId("gone"), ValueError("it cannot be read"), 1)
    assert len(store.due_times()) == 3


def test_an_old_record_is_forgotten_though_there_are_few(redis_bench: RedisBench) -> None:
    driver = Driver(redis_bench).accepted((A,)).apply(A).commit()
    redis_bench.pass_time(2)
    assert redis_bench.store.forget(1, 10, 100) == 1
    assert not redis_bench.store.exists(driver.id)


def test_replicas_are_asked_after_a_write_of_our_own() -> None:
    pipe = Mock()
    Replicas("fence", 2, 500).ask(pipe)
    assert pipe.mock_calls == [call.set("fence", 1), call.execute_command("WAIT", 2, 500)]


def test_of_each_limit_it_is_told_how_many_write_and_how_many_wait_for_whichever_reason(
    redis_bench: RedisBench, link: Link
) -> None:
    keys = link.keys
    assert link.limits.loads() == []
    link.limits.keep({"a": WriteLimit(1), "*": WriteLimit(a_second=2.0)})
    for name, part, number in (("a", "places", 1), ("a", "queue", 2), ("a", "pace", 4), ("*", "pace", 8)):
        redis_bench.client.zadd(keys.line(name, part), {str(each): each for each in range(number)})
    told = {each.host: (each.busy, each.waiting) for each in link.limits.loads()}
    assert told == {"a": (1, 6), "*": (0, 8)}


def test_every_operation_that_has_not_ended_is_listed(redis_bench: RedisBench, link: Link) -> None:
    for name in ("one", "two"):
        each = Driver(redis_bench, name)
        each.store.accept(each.request(group=GroupId(name)))
    assert {each.id for each in link.unended()} == {"one", "two"}


@pytest.mark.usefixtures("redis_bench")
def test_a_stall_is_kept_with_its_reason(link: Link) -> None:
    link.stalls.note("worker1@node", "its loop stood still")
    (found,) = link.stalls.all()
    assert (found.worker, found.why) == ("worker1@node", "its loop stood still")


@pytest.mark.parametrize(
    ("written", "raises"), [(None, RecordDamaged), ("soon", RecordDamaged), ("99", UnknownFormat)]
)
def test_a_format_that_is_not_ours_is_damage_or_newer(written: str | None, raises: type[Exception]) -> None:
    with pytest.raises(raises):
        check_format(written)


def test_what_redis_py_raises_comes_as_an_error_of_ours() -> None:
    class Reads(StoreErrors):
        def read(self) -> None:
            raise redis.ConnectionError("gone")

    with pytest.raises(StoreUnavailable):
        Reads().read()


def test_an_id_that_nothing_is_known_of_sends_to_the_page_on_lost_records_and_another_id_does_not() -> None:
    assert unknown(OPERATION).page == RecordGone.page
    mistyped = unknown(OPERATION, 'it is the name of host "told"')
    assert mistyped.page == UnknownOperation.page != RecordGone.page
    assert str(mistyped).endswith('"told" is unknown: it is the name of host "told"')


def test_a_script_is_sent_once_and_then_called_by_its_digest(redis_bench: RedisBench) -> None:
    redis_bench.client.script_flush()
    redis_bench.client.config_resetstat()
    for name in ("a", "b", "c"):
        driver = Driver(redis_bench, name)
        driver.store.accept(driver.request(group=GroupId(name)))
    told = redis_bench.client.info("commandstats")
    assert (told["cmdstat_eval"]["calls"], told["cmdstat_evalsha"]["calls"]) == (1, 3)
