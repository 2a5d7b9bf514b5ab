"""A channel where no event loop turns, and one that is closed, or consumes no more, while it waits."""

from __future__ import annotations

import json

import pytest
import redis
from kombu.transport.redis import Transport as Stock

from lockstep.worker.celery.broker import links
from lockstep.worker.celery.broker.transport import Transport
from lockstep.worker.connection.primary import LONGEST_WAIT
from tests.integration.broker.readers import PREFIX, Open, Reader, noted, send, waiting


@pytest.mark.parametrize("transport", [Transport, links.Transport])
def test_who_says_no_number_takes_one_message_at_a_time_and_acknowledges_it_at_once(
    connect: Open, kept: redis.Redis, transport: type[Stock]
) -> None:
    reader = Reader(connect(transport), prefetch=0)
    send(connect(), 3)
    assert reader.read() == [0]
    assert waiting(kept) == [1, 2]
    reader.messages[0].ack()
    assert not noted(kept), "no event loop turns, with which it could leave"


@pytest.mark.parametrize("transport", [Transport, links.Transport])
def test_threads_wait_for_a_connection_and_an_event_loop_does_not(
    connect: Open, transport: type[Stock]
) -> None:
    channel = Reader(connect(transport), prefetch=1).channel
    assert (channel.pool.longest, channel.async_pool.longest) == (LONGEST_WAIT, 0.0)
    with channel.conn_or_acquire() as client:
        assert client.connection_pool is channel.pool


def polling(connect: Open) -> Reader:
    """Return a reader that waits for a message, of which there is none yet."""
    reader = Reader(connect(), prefetch=10)
    with pytest.raises(TimeoutError):
        reader.connection.drain_events(timeout=0.1)
    assert reader.channel._in_poll
    return reader


def test_a_channel_that_is_closed_delivers_what_it_was_waiting_for_and_takes_no_more(
    connect: Open, kept: redis.Redis
) -> None:
    reader = polling(connect)
    send(connect(), 3)
    reader.channel.close()
    assert reader.numbers == [0]
    assert (sorted(waiting(kept)), noted(kept)) == ([0, 1, 2], {}), "nobody acknowledged it"


def test_who_consumes_no_more_gives_back_what_it_was_waiting_for_and_takes_nothing_along(
    connect: Open, kept: redis.Redis
) -> None:
    reader = polling(connect)
    reader.consumer.cancel()
    send(connect(), 5)
    assert reader.read() == []
    assert (sorted(waiting(kept)), noted(kept)) == ([0, 1, 2, 3, 4], {})
    texts: list[str] = kept.lrange(f"{PREFIX}operations", 0, -1)  # type: ignore[assignment]
    assert sum("redelivered" in json.loads(text)["headers"] for text in texts) == 1
