"""Celery's and kombu's connections to Redis, over classes that know when one leads to the wrong server.

Every process of ours uses these, producers included. What a worker takes messages with, `transport`, builds
on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

from celery.app import amqp as untyped_amqp
from celery.backends import redis as untyped_backends
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as untyped

from lockstep.worker.pools import PATIENCE, modest
from lockstep.worker.primary import FoundPrimary, FoundTlsPrimary, Primary, TlsPrimary
from lockstep.worker.secrets import masked

redis: Any = untyped
backends: Any = untyped_backends
amqp: Any = untyped_amqp
REDIS, SENTINEL = "lockstep-redis", "lockstep-sentinel"
"""What kombu knows our transports by; an application around a client of ours keeps those of its own."""
LONGEST_WAIT = 4.0
"""Seconds between two tries to connect, at most: a Redis that is back is noticed within so long."""


class Unbound(redis.Channel):  # type: ignore[misc]
    """Keeps no tables of bindings.

    Nothing is sent through one here, and whoever may write to them could have messages delivered elsewhere.
    What killed processes, or older versions, left in a table of those who hear what is published to all goes
    when the next process binds a queue.
    """

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Note that a queue hears what is published to all; of others the name is all that is needed."""
        if self.typeof(exchange).type == "fanout":
            self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))
            tables = (self.keyprefix_queue, self.keyprefix_binding_permanent)
            with self.conn_or_acquire() as client, contextlib.suppress(self.ResponseError):
                client.delete(*(table % exchange for table in tables))

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep nothing alive that is not there."""


class Channel(Unbound):
    """A channel to a server that is named."""

    connection_class: type = Primary
    connection_class_ssl: type = TlsPrimary

    def _get_pool(self, asynchronous: bool = False) -> Any:
        # An event loop is not to wait: its connection is tried again.
        return modest(super()._get_pool(asynchronous), 0.0 if asynchronous else PATIENCE)


class SentinelChannel(Unbound, redis.SentinelChannel):  # type: ignore[misc]
    """A channel to the server that Sentinels name."""

    connection_class: type = FoundPrimary
    connection_class_ssl: type = FoundTlsPrimary

    def _get_pool(self, asynchronous: bool = False) -> Any:
        return modest(super()._get_pool(asynchronous), 0.0 if asynchronous else PATIENCE)


class Transport(redis.Transport):  # type: ignore[misc]
    """kombu's transport with these channels."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):  # type: ignore[misc]
    """The same with Sentinels."""

    Channel = SentinelChannel


def register(module: str) -> None:
    """Tell kombu which module has the transports that it knows by our names."""
    TRANSPORT_ALIASES.update({REDIS: f"{module}:Transport", SENTINEL: f"{module}:SentinelTransport"})


register(__name__)
Connection.resolve_aliases.update({REDIS: "redis", SENTINEL: "sentinel"})  # for URLs that are shown


class Link(Connection):
    """A connection that comes back soon."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Connect, trying again every few seconds: kombu's waits grow to half a minute."""
        return super().ensure_connection(*args, **{"interval_max": LONGEST_WAIT, **options})


class Amqp(amqp.AMQP):  # type: ignore[misc]
    """Celery's way to its connections."""

    Connection = Link


class Backend(backends.RedisBackend):  # type: ignore[misc]
    """Celery's results, and its counts of chords."""

    kinds: ClassVar[tuple[type, type]] = (Primary, TlsPrimary)

    def _encode(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            told = {name: masked(data[name]) for name in ("result", "traceback") if name in data}
            data = {**data, **told}
        return super()._encode(data)

    def _get_pool(self, **params: Any) -> Any:
        tls = bool(self.app.conf.redis_backend_use_ssl)
        return modest(super()._get_pool(**{**params, "connection_class": self.kinds[tls]}))


class SentinelBackend(Backend, backends.SentinelBackend):  # type: ignore[misc]
    """The same with Sentinels."""

    kinds = (FoundPrimary, FoundTlsPrimary)
