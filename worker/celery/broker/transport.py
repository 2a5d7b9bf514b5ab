"""What kombu 5.7 does for each message, done for several at once."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from importlib.resources import files
from typing import Any

from kombu.log import get_logger
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from lockstep.worker.celery.broker import links
from lockstep.worker.celery.broker.links import dropped

logger = get_logger(__name__)
MOST = 64
"""Messages taken in one run of the script, so that Redis is not held up for long."""
AWAY = 5.0
"""Seconds."""
TAKE = (files("lockstep.worker.celery.broker") / "take.lua").read_text("utf-8")


class QoS(links.QoS):
    """What was delivered and is not acknowledged: noted in Redis, and removed from there, many at a time."""

    channel: BatchChannel
    gives_back = True
    _away = 0.0
    """Until when no message is given back, by `time.monotonic`: Redis has just not answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._noted: set[str] = set()
        self._acknowledged: deque[str] = deque()
        """Filled by the threads that run tasks; a tag belongs to the thread that takes it out."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message in Redis, unless that was done when it was taken from there."""
        if delivery_tag in self._noted:
            self._noted.discard(delivery_tag)
        else:
            info = message.delivery_info
            entry = dumps([message._raw, info["exchange"], info["routing_key"]])
            most = min(self.can_consume_max_estimate() - 1, MOST) if self.prefetch_count else 0
            self._noted.update(self.channel.take(delivery_tag, entry, most))
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message with the next turn of the event loop, or at once where none turns."""
        self.release(delivery_tag)
        self._acknowledged.append(delivery_tag)
        # Tasks outlive what they came by: then there is no connection, or no turn of its loop any more.
        if self.channel.closed or not self.channel.connection.cycle.turning:
            self.send_acknowledged()

    def send_acknowledged(self) -> None:
        """Remove from Redis what has been acknowledged."""
        tags = []
        with contextlib.suppress(IndexError):
            while True:
                tags.append(self._acknowledged.popleft())
        if not tags:
            return
        try:
            with self.channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
                # The message first: should its time be left alone, kombu finds no message and removes it.
                pipe.hdel(self.unacked_key, *tags)
                pipe.zrem(self.unacked_index_key, *tags)
                pipe.execute()
        except BaseException:
            self._acknowledged.extendleft(reversed(tags))  # it may be said twice
            raise

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Give a message back, unless Redis has just not answered for another: it comes again by itself.

        Each would hold up the loop that takes messages, and many together would seem to stop it.
        """
        if time.monotonic() < self._away:
            raise redis.exceptions.ConnectionError("Redis has just not answered")
        try:
            super().restore_by_tag(tag, client, leftmost)
        except self.channel.connection_errors:
            self._away = time.monotonic() + AWAY
            raise

    def forget(self, tag: str) -> None:
        self._noted.discard(tag)
        super().forget(tag)

    def drop_undelivered(self, tag: str) -> None:
        """Drop a message whose turn it was, unless it was delivered: what broke once would break again."""
        if tag in self._noted:
            self.forget(tag)

    def restore_undelivered(self) -> None:
        """Give back what was taken and not delivered because of a message before it."""
        tags, self._noted = self._noted, set()
        for tag in tags:
            self.restore_by_tag(tag)


class BatchChannel(links.Channel):
    """A channel that takes messages together, and keeps its client: making one costs more than a command."""

    QoS = QoS
    connection: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._kept: Any = None
        self._take: Any = None
        self._taken: list[tuple[str, bytes]] | None = None
        """What was taken with the message at hand; None where nothing may be."""
        super().__init__(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept is None:  # one whose pool was disconnected connects again
            self._kept = super()._create_client()
            self._take = self._kept.register_script(TAKE)
        return self._kept

    def take(self, delivery_tag: str, entry: str, most: int) -> set[str]:
        """Note the message at hand; take at most `most` more from its queue, and return their tags."""
        queue = self.connection.delivering
        if self._taken is None or queue not in self.connection._callbacks:
            most = 0
        with self.conn_or_acquire():
            told = self._take(
                # kombu's client puts the prefix before the first key only.
                [
                    queue,
                    self.global_keyprefix + self.unacked_key,
                    self.global_keyprefix + self.unacked_index_key,
                ],
                [most, delivery_tag, entry],
            )
        tags = [bytes_to_str(tag) for tag in told[::2]]
        if self._taken is not None:
            self._taken += zip(tags, told[1::2], strict=True)
        return {tag for tag in tags if tag}

    def _brpop_read(self, **options: Any) -> Any:
        """Deliver the message that Redis has brought, then those that were taken with it."""
        self._taken = None if self._closing else []
        try:
            said = super()._brpop_read(**options)
            taken, self._taken = self._taken or [], None
            for tag, text in taken:
                try:
                    self.connection._deliver_text(text)
                finally:
                    self.qos.drop_undelivered(tag)
        except BaseException:
            with contextlib.suppress(*self.connection_errors):  # they come after the visibility timeout then
                self.qos.restore_undelivered()
            raise
        finally:
            self._taken, self.connection.length = None, None
        return said

    def close(self) -> None:
        """Close, and tell Redis what was acknowledged before threads could see that it is closed."""
        try:
            super().close()
        finally:
            self.send_acknowledged()

    def send_acknowledged(self) -> None:
        """Tell Redis what was acknowledged, or keep it for the next time."""
        try:
            self.qos.send_acknowledged()
        except (*self.connection_errors, self.ResponseError) as error:
            logger.critical("Couldn't ack, reason: %s", error)


class Poller(redis.MultiChannelPoller):
    """Has every channel say what was acknowledged before the event loop waits again."""

    turning = False

    def on_poll_start(self) -> None:
        for channel in self._channels:
            channel.send_acknowledged()
        super().on_poll_start()

    def turn_with(self, loop: Any) -> None:
        """Leave acknowledgements to the turns of the loop until it is closed."""
        self.turning = True
        loop.on_close.add(self._stop_turning)

    def _stop_turning(self, loop: Any) -> None:
        self.turning = False
        loop.on_close.discard(self._stop_turning)


class Transport(links.Transport):
    Channel = BatchChannel
    delivering = ""
    """The queue of the message at hand."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        self.cycle.turn_with(loop)

    def _deliver(self, message: Any, queue: str) -> None:
        self.delivering = queue
        super()._deliver(message, queue)

    def _deliver_text(self, text: bytes) -> None:
        """Deliver what was taken from the same queue; what is no message is dropped."""
        self.length = len(text)
        try:
            message = loads(text)
        except (ValueError, RecursionError):
            dropped("no JSON", self.length)
        else:
            self._deliver(message, self.delivering)
