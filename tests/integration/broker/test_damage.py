"""What cannot be read, or a killed process has left, keeps no message from being taken."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from kombu import Consumer, Exchange, Queue

from lockstep.worker.celery.broker import links
from lockstep.worker.celery.broker.transport import Transport
from tests.integration.broker.readers import PREFIX, Open, Reader, noted, send, waiting
from tests.waits import eventually

SHAPELESS = [
    *("no JSON", "{}", "1", "null", '{"properties": null}', '{"properties": {"delivery_tag": null}}'),
    '{"properties": {"delivery_tag": "", "delivery_info": {"exchange": "", "routing_key": "operations"}}}',
]


@pytest.mark.parametrize("at", [-1, -3])
@pytest.mark.parametrize("text", SHAPELESS)
def test_what_cannot_be_read_costs_no_other_message(
    connect: Open, kept: redis.Redis, text: str, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(connect(), prefetch=10)
    send(connect(), 6)
    kept.linsert(f"{PREFIX}operations", "AFTER", str(kept.lindex(f"{PREFIX}operations", at)), text)
    while len(reader.numbers) < 6:
        reader.read()
    assert sorted(reader.numbers) == [0, 1, 2, 3, 4, 5]
    kind = "no JSON" if text == SHAPELESS[0] else "no message"
    assert caplog.messages == [f"A message of {len(text)} bytes was dropped: {kind}."]
    assert sorted(noted(kept)) == sorted(message.delivery_tag for message in reader.messages)


def test_what_was_noted_and_cannot_be_read_keeps_nothing_from_being_given_back(
    connect: Open, kept: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(connect(visibility_timeout=0), prefetch=10)
    send(connect(), 2)
    reader.read()
    count = len(noted(kept))
    info = '{"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "operations"}}'
    whole = f'{{"body": "", "properties": {info}}}'
    to = ('{}, "", "operations"', f'{whole}, null, "operations"', f'{whole}, "", null', "1, 2, 3")
    bad = (*SHAPELESS, *(f"[{each}]" for each in to))
    for n, text in enumerate(bad):
        kept.hset(f"{PREFIX}unacked", f"bad{n}", text)
        kept.zadd(f"{PREFIX}unacked_index", {f"bad{n}": n})
    reader.channel.qos.restore_visible()
    assert not kept.exists(f"{PREFIX}unacked", f"{PREFIX}unacked_index")
    assert count + len(reader.numbers) >= 2
    why = "it was noted as taken, and is no message"
    said = [f"A message of {len(text)} bytes was dropped: {why}." for text in bad]
    assert [line for line in caplog.messages if why in line] == said


@pytest.mark.parametrize("transport", [Transport, links.Transport])
def test_what_is_given_back_is_taken_next(
    connect: Open, kept: redis.Redis, monkeypatch: pytest.MonkeyPatch, transport: Any
) -> None:
    monkeypatch.setattr(links.QoS, "gives_back", True)
    reader = Reader(connect(transport, visibility_timeout=0), prefetch=2)
    send(connect(), 5)
    while len(reader.numbers) < 2:
        reader.read()
    reader.channel.qos.restore_visible()
    assert sorted(waiting(kept)[:2]) == [0, 1]


@pytest.mark.parametrize("transport", [Transport, links.Transport])
def test_what_is_published_to_all_and_cannot_be_read_is_dropped_by_its_length(
    connect: Open, kept: redis.Redis, caplog: pytest.LogCaptureFixture, transport: Any
) -> None:
    bad = [b"told", b"\xff\xfe", b"[" * 100_000, b"null", b'{"properties": "told"}']
    connection = connect(transport)
    heard: list[Any] = []
    queue = Queue("pidbox.mine", Exchange("pidbox", type="fanout"), auto_delete=True, expires=60)
    with Consumer(connection.channel(), [queue], on_message=heard.append, no_ack=True):

        def reads_until(done: Callable[[], object], what: str) -> None:
            def reads() -> object:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
                return done()

            eventually(reads, what)

        channel: Any = connection.default_channel
        subject = PREFIX + channel._get_publish_topic("pidbox", "")
        for n, text in enumerate(bad, 1):
            reads_until(lambda text=text: kept.publish(subject, text), "it has subscribed")  # type: ignore[misc]
            reads_until(lambda n=n: len(caplog.messages) == n, "it is dropped")  # type: ignore[misc]
        connection.Producer().publish({"n": 1}, exchange=queue.exchange)
        reads_until(lambda: heard, "what comes next is heard")
    assert caplog.messages == [
        f"A message of {len(text)} bytes was dropped: no {kind}."
        for text, kind in zip(bad, ["JSON"] * 3 + ["message"] * 2, strict=True)
    ]


def test_what_only_redis_can_read_is_dropped(connect: Open, kept: redis.Redis) -> None:
    reader = Reader(connect(), prefetch=10)
    send(connect(), 4)
    whole = str(kept.lindex(f"{PREFIX}operations", -2))
    broken = json.dumps({**json.loads(whole), "body": "abcde"})
    kept.lset(f"{PREFIX}operations", -2, broken)
    while len(reader.numbers) < 3:
        reader.read()
    assert sorted(reader.numbers) == [0, 2, 3]
    assert sorted(noted(kept)) == sorted(message.delivery_tag for message in reader.messages)
    assert not reader.channel.qos._noted, "nor does the reader remember it"


def test_what_killed_processes_left_in_the_tables_of_events_goes_at_the_next_start(
    connect: Open, kept: redis.Redis
) -> None:
    tables = [f"{PREFIX}_kombu.binding{part}.celeryev" for part in ("", "_permanent")]
    for table in tables:
        kept.sadd(table, "worker.#::celeryev.a-dead-one")
    connection = connect()
    events = Exchange("celeryev", type="fanout")
    queue = Queue("celeryev.mine", events, routing_key="worker.#", auto_delete=True, expires=60)
    heard: list[Any] = []
    with Consumer(connection.channel(), [queue], on_message=heard.append, no_ack=True):
        assert kept.exists(*tables) == 0
        publisher = connection.Producer()

        def hears() -> bool:
            publisher.publish({"n": 1}, exchange=events, routing_key="worker.heartbeat")
            connection.drain_events(timeout=10)  # at first that it has subscribed
            return bool(heard)

        eventually(hears, "it hears without a table")
    assert kept.exists(*tables) == 0


def test_clients_are_made_once(connect: Open) -> None:
    channel: Any = connect().channel()
    with channel.conn_or_acquire() as one, channel.conn_or_acquire() as other:
        assert one is other
        assert one.connection_pool is channel.pool
    channel._disconnect_pools()  # as after a fork
    with channel.conn_or_acquire() as one:
        assert one.ping()
