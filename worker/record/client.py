"""How Redis is reached: timeouts, keepalive, TLS and bounded retries on every connection."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from lockstep.worker.connection.pool import MOST, bounded
from lockstep.worker.connection.primary import (
    AsyncFoundPrimary,
    AsyncFoundTlsPrimary,
    AsyncPrimary,
    AsyncTlsPrimary,
    FoundPrimary,
    FoundTlsPrimary,
    Primary,
    TlsPrimary,
)
from lockstep.worker.record.codec import Keys
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.redis_options import sentinel_options, server_options, socket_options, tls_options
from lockstep.worker.settings import Settings

RETRIES = 3
"""Scripts may be repeated, so a dropped connection is tried again; a frozen server is given up on soon."""

GIVE_UP = 2.0
"""Seconds after which a waiting caller takes a frozen Redis for gone and asks again, so that its own timeout
is kept to within about this."""


def connect(settings: Settings) -> RedisStore:
    """Return a store on the Redis of the settings; nothing is sent yet."""
    return RedisStore(client(settings), Keys(settings.key_prefix), settings.limits)


def client(settings: Settings, most: int = MOST) -> redis.Redis:
    """Return a Redis client with the settings' timeouts; nothing is sent yet. Threads may share it.

    It has `most` connections at the same time, and closes those that are idle.
    """
    options = {
        **_options(settings),
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), RETRIES),
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
    }
    address = settings.address
    if address.sentinels is None:
        kind = TlsPrimary if address.tls else Primary
        pool = redis.ConnectionPool(connection_class=kind, max_connections=most, **options)
        return redis.Redis(connection_pool=bounded(pool))
    # Whichever does not answer is not asked twice: there are others.
    asking = {**sentinel_options(settings), "retry": Retry(NoBackoff(), 0)}
    asked = Sentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    found = FoundTlsPrimary if address.tls else FoundPrimary
    made: redis.Redis = asked.master_for(  # type: ignore[no-untyped-call]
        address.sentinels.master, connection_class=found, max_connections=most, **options
    )
    bounded(made.connection_pool)
    return made


def impatient(settings: Settings, seconds: float = GIVE_UP) -> Settings:
    """Return the settings of a connection that waits for so many seconds at most."""
    names = ("redis_timeout", "redis_connect_timeout")
    return settings.model_copy(update={name: min(getattr(settings, name), seconds) for name in names})


def impatient_client(settings: Settings, seconds: float = GIVE_UP, most: int = MOST) -> redis.Redis:
    """Return a client that gives up after so many seconds, and never tries again by itself."""
    made = client(impatient(settings, seconds), most)
    made.set_retry(Retry(NoBackoff(), 0))
    made.connection_pool.patience = seconds  # type: ignore[attr-defined]
    return made


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the same for asyncio, without retries; bound to the event loop that first uses it."""
    once = redis.asyncio.retry.Retry(NoBackoff(), 0)
    options = {**_options(settings), "retry": once}
    address = settings.address
    if address.sentinels is None:
        kind = AsyncTlsPrimary if address.tls else AsyncPrimary
        pool = redis.asyncio.ConnectionPool(connection_class=kind, **options)
        return redis.asyncio.Redis.from_pool(pool)
    asking = {**sentinel_options(settings), "retry": once}
    asked = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=asking
    )
    found = AsyncFoundTlsPrimary if address.tls else AsyncFoundPrimary
    made: redis.asyncio.Redis = asked.master_for(address.sentinels.master, connection_class=found, **options)
    return made


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "decode_responses": True,
        **socket_options(settings),
        **tls_options(settings),
        **server_options(settings),
    }
