"""Celery's and kombu's classes as every process of ours uses them, producers included.

Their connections to Redis know when one leads to the wrong server. What somebody put into a queue and is no
message is dropped, for it would end a worker, and then the next one. `transport` builds on these.
"""

from __future__ import annotations

import contextlib
from base64 import b64decode
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from celery.app import events
from celery.backends import redis as backends
from celery.events import dispatcher
from celery.signals import task_rejected
from kombu import Connection
from kombu.log import get_logger
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import loads

from lockstep.worker.connection.primary import (
    LONGEST_WAIT,
    FoundPrimary,
    FoundTlsPrimary,
    Primary,
    TlsPrimary,
    bounded,
)
from lockstep.worker.process.secrets import masked

REDIS, SENTINEL = "lockstep-redis", "lockstep-sentinel"
"""What kombu knows our transport by; an application around a client of ours keeps those of its own."""
logger = get_logger(__name__)
POISON = (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError)
"""What kombu and Celery raise for what nothing of ours has sent."""


def deliverable(message: Any) -> bool:
    """Tell whether kombu can make a message of it."""
    match message:
        case {"properties": {"delivery_tag": str(tag), "delivery_info": dict(info), **properties}}:
            body, encoding = message.get("body"), properties.get("body_encoding")
            texts = (body, message.get("content-type"))
            return (
                bool(tag)
                and all(isinstance(info.get(name), str) for name in ("exchange", "routing_key"))
                and all(text is None or isinstance(text, str) for text in texts)
                and isinstance(message.get("headers") or {}, dict)
                and (not encoding or (encoding == "base64" and _is_base64(body or "")))
            )
    return False


def _is_base64(body: str) -> bool:
    with contextlib.suppress(ValueError):
        b64decode(body)
        return True
    return False


def dropped(why: str, length: int | None = None) -> None:
    """Log and count that a message was dropped; nothing is told of its content."""
    size = "" if length is None else f" of {length} bytes"
    logger.warning("A message%s was dropped: %s.", size, why)
    task_rejected.send(sender=None, message=None, exc=None)


class QoS(redis.QoS):
    """What was delivered and is not acknowledged."""

    gives_back = False
    """Workers alone give back what others took; those who wait for their answers may not."""

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Give back what some worker took and did not acknowledge in time, by the clock of Redis.

        kombu goes by the clocks of workers: one that is ahead would take from others what they work on.
        """
        if not self.gives_back:
            return
        with self.channel.conn_or_acquire() as client, contextlib.suppress(redis.MutexHeld):
            seconds, micros = client.time()
            taken_before = seconds + micros / 1e6 - self.visibility_timeout
            with redis.Mutex(client, self.unacked_mutex_key, self.unacked_mutex_expire):
                for tag in client.zrange(self.unacked_index_key, "-inf", taken_before, byscore=True):
                    self.restore_by_tag(tag, client)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; one whose connection is gone meanwhile comes again, and its step is done."""
        with contextlib.suppress(*([AttributeError] if self.channel.gone else [])):
            super().ack(delivery_tag)

    def release(self, delivery_tag: str) -> None:
        """Free the place that a message takes of the worker's prefetch; Redis is told nothing."""
        self._quick_ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Give a message back; one that cannot be read is dropped, or none would be given back after it."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except POISON:
            if self.channel.gone:
                return  # it comes again
            with self.channel.conn_or_acquire(client) as asked:
                length = len(asked.hget(self.unacked_key, tag) or b"")
            dropped("it was noted as taken, and is no message", length)
            self.forget(tag)

    def forget(self, tag: str) -> None:
        self._remove_from_indices(tag).execute()


class Channel(redis.SentinelChannel):
    """A channel to a server that is named, or to the one that Sentinels name; drops what is no JSON.

    Keeps no tables of bindings: anybody who may write to them could divert messages. What killed processes,
    or older versions, left in one of those who hear all goes when the next process binds a queue.
    """

    QoS = QoS
    master_name: str | None = None
    """Of the primary that Sentinels watch over, from the options; None for a server that is named."""
    connection_class = property(lambda self: FoundPrimary if self.master_name else Primary)
    connection_class_ssl = property(lambda self: FoundTlsPrimary if self.master_name else TlsPrimary)

    gone = property(lambda self: self.connection is None or self.connection.client is None)
    """Whether it was closed, or all of its connection: there is nothing to reach Redis with."""

    def _create_client(self, asynchronous: bool = False) -> Any:
        made = super()._create_client(asynchronous)
        made.set_response_callback("BRPOP", self._took)
        return made

    def _get_pool(self, asynchronous: bool = False) -> Any:
        kind = redis.SentinelChannel if self.master_name else redis.Channel
        # An event loop is not to wait: its connection is tried again.
        return bounded(kind._get_pool(self, asynchronous), 0.0 if asynchronous else LONGEST_WAIT)

    def close(self) -> None:
        """Close, even if Redis is gone: kombu would raise first, and closed again Celery would end."""
        self._closing = True
        if self._in_poll:
            with contextlib.suppress(redis.Empty, *self.connection_errors):
                self._brpop_read()
        super().close()

    def _took(self, said: Any, **_: Any) -> Any:
        if said:
            self.connection.length = len(said[1])
        return said

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError):
            dropped("no JSON", self.connection.length)  # it has been popped, and nothing is noted of it
            return True
        finally:
            if self.connection is not None:
                self.connection.length = None

    def _handle_message(self, client: Any, r: Any) -> Any:
        told = super()._handle_message(client, r)
        if not isinstance(said := told["data"], bytes):
            return told  # how many channels it is subscribed to
        try:
            loads(said)
        except (ValueError, RecursionError):  # kombu would log it whole, or raise
            dropped("no JSON", len(said))
            said = None
        self.connection.length = said and len(said)
        return {**told, "data": said}

    def _do_restore_message(
        self, payload: Any, exchange: Any, routing_key: Any, *to: Any, **how: Any
    ) -> None:
        """Raises ValueError for what is no message; kombu would log it whole."""
        if not (deliverable(payload) and isinstance(exchange, str) and isinstance(routing_key, str)):
            raise ValueError
        super()._do_restore_message(payload, exchange, routing_key, *to, **how)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Note that a queue hears what is published to all; of others the name is all that is needed."""
        if self.typeof(exchange).type == "fanout":
            self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))
            tables = (self.keyprefix_queue, self.keyprefix_binding_permanent)
            with self.conn_or_acquire() as client, contextlib.suppress(self.ResponseError):
                client.delete(*(table % exchange for table in tables))

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep nothing alive that is not there."""


class Transport(redis.Transport):
    """kombu's transport with this channel, which delivers what is a message."""

    Channel = Channel
    length: int | None = None
    """Bytes of the message at hand, if it was taken from a queue."""

    def _deliver(self, message: Any, queue: str) -> None:
        if deliverable(message):
            super()._deliver(message, queue)
        else:
            dropped("no message", self.length)


def register(module: str) -> None:
    """Tell kombu which module has the transport that it knows by our names."""
    TRANSPORT_ALIASES.update(dict.fromkeys((REDIS, SENTINEL), f"{module}:Transport"))


register(__name__)
Connection.resolve_aliases.update({REDIS: "redis", SENTINEL: "sentinel"})  # for URLs that are shown

EXPIRES = "if expires > 0 then"
PART = backends.CHORD_PART_RETURN_LUA.replace(
    EXPIRES, "if expires > 0 and (readycount < 2 or readycount % 16 == 0) then"
)
"""Celery has five keys live on for each part of a chord: the part that makes them, and each sixteenth, do.
Where Celery says it in other words, all stays as it is."""


class Backend(backends.RedisBackend):
    kinds: ClassVar[tuple[type, type]] = (Primary, TlsPrimary)

    @cached_property
    def _chord_part_return_script(self) -> Any:
        return self.client.register_script(PART)

    def _encode(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            told = {name: masked(data[name]) for name in ("result", "traceback") if name in data}
            data = {**data, **told}
        elif isinstance(data, list | tuple):  # what a chord keeps of each part, its error too
            data = masked(data)
        return super()._encode(data)

    def _get_pool(self, **params: Any) -> Any:
        tls = bool(self.app.conf.redis_backend_use_ssl)
        return bounded(super()._get_pool(**{**params, "connection_class": self.kinds[tls]}))


class SentinelBackend(Backend, backends.SentinelBackend):
    kinds = (FoundPrimary, FoundTlsPrimary)


TEXTS = ("args", "kwargs", "result", "exception", "traceback", "reason")
"""Fields of an event that are texts: a secret that got into one is masked."""


class Dispatcher(dispatcher.EventDispatcher):
    """Sends at once what a task's next try, which may be another worker's, must not overtake.

    Flower believes the last event: a late one would show an older try, or a task that still waits.
    """

    def send(self, type: str, *arguments: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's own name
        """Send an event, or gather it; that of a retry is sent with all that was gathered."""
        told = {name: masked(fields[name]) for name in TEXTS if name in fields}
        # Celery has heartbeats tried again until Redis answers: the loop that takes messages would wait.
        sent = super().send(type, *arguments, **{**fields, **told, "retry": False})
        if type == "task-retried" or fields.get("retries"):
            self.flush(errors=False)
        return sent


class CeleryEvents(events.Events):
    dispatcher_cls = "lockstep.worker.celery.broker.links:Dispatcher"
