"""Messages taken together on a real Redis: what is kept there is as kombu keeps it, and nothing is lost."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from kombu import Connection, Consumer, Message, Queue
from kombu.asynchronous import Hub
from kombu.transport import redis as kombu_redis
from kombu.transport.redis import Transport as Stock

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.celery import make_app
from lockstep.worker.celery.broker import links
from lockstep.worker.celery.broker.transport import Transport
from lockstep.worker.settings import Settings
from tests.integration.broker.readers import PREFIX, Open, Reader, noted, send, waiting


def test_messages_are_taken_together_and_half_are_left_to_others(connect: Open, kept: redis.Redis) -> None:
    reader = Reader(connect(), prefetch=100)
    send(connect(), 9)
    assert reader.read() == [0, 1, 2, 3, 4]
    assert waiting(kept) == [5, 6, 7, 8]
    assert len(noted(kept)) == 5


def test_no_more_are_taken_than_may_be_delivered(connect: Open, kept: redis.Redis) -> None:
    reader = Reader(connect(), prefetch=3)
    send(connect(), 20)
    assert reader.read() == [0, 1, 2]
    with pytest.raises(TimeoutError):
        reader.connection.drain_events(timeout=0.1)
    reader.messages[1].ack()
    assert reader.read() == [0, 1, 2, 3]
    assert len(noted(kept)) == 3
    assert len(waiting(kept)) == 16


@pytest.mark.parametrize("delivered", [False, True])
def test_messages_after_one_that_breaks_go_back_and_that_one_does_not(
    connect: Open, kept: redis.Redis, monkeypatch: pytest.MonkeyPatch, delivered: bool
) -> None:
    reader = Reader(connect(), prefetch=100)
    whose, name = (reader.consumer, "on_message") if delivered else (reader.channel.qos, "append")
    go_on = getattr(whose, name)

    def breaks(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise ArithmeticError
        go_on(*given)

    calls: list[object] = []
    monkeypatch.setattr(whose, name, breaks)
    send(connect(), 7)
    with pytest.raises(ArithmeticError):
        reader.read()
    assert reader.numbers == [0]
    assert sorted(waiting(kept)) == [2, 3, 4, 5, 6]
    assert len(noted(kept)) == 1 + delivered, "it is dropped if it could not even be delivered"
    reader.read()
    assert len(set(reader.numbers)) == len(reader.numbers) > 1


def test_what_is_kept_of_each_is_what_kombu_keeps(connect: Open, kept: redis.Redis) -> None:
    seen = []
    for transport in (Stock, Transport):
        reader = Reader(connect(transport), prefetch=3)
        send(connect(), 5)
        while len(reader.numbers) < 3:
            reader.read()
        entries = noted(kept)
        assert sorted(entries) == sorted(message.delivery_tag for message in reader.messages)
        for tag, (message, _, _) in entries.items():
            assert message["properties"].pop("delivery_tag") == tag
        seen.append(sorted(json.dumps(entry, sort_keys=True) for entry in entries.values()))
        assert abs(kept.zscore(f"{PREFIX}unacked_index", tag) - kept.time()[0]) < 60  # type: ignore[operator]
        kept.flushdb()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("count", "taken"), [(2, 2), (4, 3)])
def test_a_dead_workers_messages_come_back_however_they_were_taken(
    connect: Open, kept: redis.Redis, count: int, taken: int
) -> None:
    dead = Reader(connect(), prefetch=10)
    send(connect(), count)
    assert len(dead.read()) == len(noted(kept)) == taken
    other = Reader(connect(Stock, visibility_timeout=0), prefetch=10)
    other.channel.qos.restore_visible(num=None, interval=1)
    assert sorted(waiting(kept)) == list(range(count))
    assert not noted(kept)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_messages_are_noted_and_given_back_by_the_clock_of_redis(
    connect: Open, kept: redis.Redis, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    # The process's wall clock, wherever kombu or we might read it.
    then = time.time() + ahead
    monkeypatch.setattr(time, "time", lambda: then)
    monkeypatch.setattr(kombu_redis, "time", lambda: then)
    reader = Reader(connect(visibility_timeout=60), prefetch=10)
    send(connect(), 6)
    taken = len(reader.read())
    seconds: Any = kept.time()
    scores: Any = kept.zrange(f"{PREFIX}unacked_index", 0, -1, withscores=True)
    assert all(abs(score - seconds[0]) < 50 for _, score in scores)
    reader.channel.qos.restore_visible()
    assert len(noted(kept)) == taken
    kept.zincrby(f"{PREFIX}unacked_index", -100, scores[0][0])
    reader.channel.qos.restore_visible()
    assert len(noted(kept)) == taken - 1


def test_whoever_waits_for_an_answer_gives_no_message_of_a_worker_back(
    server: RedisServer, kept: redis.Redis, connect: Open
) -> None:
    reader = Reader(connect(), prefetch=10)
    send(connect(), 2)
    reader.read()
    before = noted(kept)
    # Doctor and Flower, an hour ahead: kombu looks when nothing comes.
    app = make_app(Settings(redis_url=server.url, hosts="http://node1"))
    with app.connection_for_read() as connection:
        cast(Any, connection).transport_options["visibility_timeout"] = -3600
        other = Reader(connection, prefetch=1)
        other.consumer.cancel()
        replies = Consumer(other.channel, [Queue("replies")], on_message=print)
        replies.consume()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
    app.close()
    assert noted(kept) == before


def test_what_was_not_acknowledged_goes_back_when_a_worker_ends(connect: Open, kept: redis.Redis) -> None:
    reader = Reader(connect(), prefetch=10)
    send(connect(), 4)
    reader.read()
    reader.messages[0].ack()
    reader.channel.close()
    assert sorted(waiting(kept)) == [1, 2, 3]
    assert not noted(kept)


def test_a_rejected_message_goes_back_at_once(connect: Open, kept: redis.Redis) -> None:
    reader = Reader(connect(), prefetch=10)
    send(connect(), 2)
    reader.read()
    reader.messages[0].requeue()
    assert 0 in waiting(kept)
    assert len(noted(kept)) == len(reader.messages) - 1


def test_a_redis_that_does_not_answer_for_one_message_is_not_asked_about_each_other(
    connect: Open, server: RedisServer, kept: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop would stand still for a time-out a message, and be taken for one that does so for good."""
    reader = Reader(connect(socket_timeout=1.0), prefetch=10)
    send(connect(), 8)
    reader.read()
    held, asked, ask = list(reader.messages), list[object](), reader.channel.conn_or_acquire

    def counted(*about: Any) -> Any:
        asked.append(about)
        return ask(*about)

    monkeypatch.setattr(reader.channel, "conn_or_acquire", counted)

    def give_back() -> None:
        for message in held:
            message.reject_log_error(logging.getLogger(), reader.channel.connection_errors, requeue=True)

    os.kill(server.pid, signal.SIGSTOP)
    try:
        give_back()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert len(asked) == 1 < len(held)
    assert len(noted(kept)) == len(held), "they come again when their time is over"


def test_acknowledgements_leave_with_the_turn_of_the_event_loop(connect: Open, kept: redis.Redis) -> None:
    connection = connect()
    reader = Reader(connection, prefetch=10)
    hub = Hub()
    connection.register_with_event_loop(hub)
    loop = hub.create_loop()
    send(connect(), 5)
    while len(reader.messages) < 3:
        next(loop)
    for message in reader.messages[:2]:
        message.ack()
    assert len(noted(kept)) == len(reader.messages)
    next(loop)
    assert not {message.delivery_tag for message in reader.messages[:2]} & set(noted(kept))
    hub.close()
    reader.messages[2].ack()  # as a task that ends while its worker stops
    assert reader.messages[2].delivery_tag not in noted(kept)


def in_a_loop(connection: Connection, other: Connection, count: int) -> Reader:
    """A reader in an event loop that has read of what was sent over another connection."""
    reader = Reader(connection, prefetch=10)
    connection.register_with_event_loop(Hub())
    send(other, count)
    reader.read()
    return reader


def test_acknowledgements_that_wait_are_sent_when_the_channel_is_closed(
    connect: Open, kept: redis.Redis
) -> None:
    reader = in_a_loop(connect(), connect(), 2)
    reader.messages[0].ack()
    reader.channel.close()
    assert not noted(kept)
    assert 0 not in waiting(kept)


def test_a_task_that_outlives_its_connection_is_acknowledged(connect: Open, kept: redis.Redis) -> None:
    reader = in_a_loop(connect(), connect(), 1)
    reader.connection.collect()
    assert reader.channel.connection is None
    reader.messages[0].ack()


@pytest.mark.parametrize("done", [Message.requeue, Message.ack])
def test_a_message_of_a_connection_that_is_gone_is_left_to_come_again(
    connect: Open, kept: redis.Redis, done: Callable[[Message], None]
) -> None:
    reader = Reader(connect(links.Transport), prefetch=10)
    send(connect(), 1)
    reader.read()
    reader.channel._disconnect_pools()
    reader.connection.transport.client = None  # kombu leaves both so where Redis was gone as well
    done(reader.messages[0])
    assert len(noted(kept)) == 1
    assert waiting(kept) == []


@pytest.mark.parametrize("transport", [Transport, links.Transport])
def test_a_connection_that_redis_left_can_be_closed_twice_as_celery_does(
    tmp_path: Path, transport: type[Stock]
) -> None:
    with RedisServer(tmp_path) as mortal, Connection(mortal.url, transport=transport) as connection:
        channel: Any = connection.default_channel
        reader = Reader(connection, prefetch=10, channel=channel)
        connection.register_with_event_loop(Hub())
        send(connection, 1)
        reader.read()
        other = Reader(connection, prefetch=10)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert channel._in_poll
        assert other.channel._in_poll
        mortal.kill()
        connection.collect()
        connection.close()
        assert channel.closed
        assert other.channel.closed
        with pytest.raises(redis.ConnectionError):
            reader.messages[0].ack()


def test_what_redis_was_not_told_it_is_told_again(
    connect: Open, kept: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = in_a_loop(connect(), connect(), 1)
    reader.messages[0].ack()

    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError("no Redis")

    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", refuse)
        reader.channel.send_acknowledged()
    assert "Couldn't ack, reason: no Redis" in caplog.text
    assert len(noted(kept)) == 1
    reader.channel.send_acknowledged()
    assert not noted(kept)
