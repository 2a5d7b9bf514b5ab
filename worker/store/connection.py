"""How Redis is reached: time-outs, keepalive, TLS and bounded retries on every connection."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.operation.errors import InvalidInput
from worker.operation.names import show
from worker.reaching import sentinel_options, server_options, socket_options, tls_options
from worker.settings import Settings
from worker.store.keys import Keys
from worker.store.redis import RedisStore

RETRIES = 3
"""Scripts may be repeated, so a dropped connection is tried again; a frozen server is given up on soon."""


def connect(settings: Settings) -> RedisStore:
    """Return a store on the Redis of the settings; nothing is sent yet."""
    return RedisStore(client(settings), Keys(settings.key_prefix), settings.limits)


def client(settings: Settings) -> redis.Redis:
    """Return a Redis client with the settings' time-outs; nothing is sent yet. Threads may share it."""
    options = {
        **_options(settings),
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), RETRIES),
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
    }
    sentinels = settings.address.sentinels
    if sentinels is not None:
        # Whichever does not answer is not asked twice: there are others.
        asking = {**sentinel_options(settings), "retry": Retry(NoBackoff(), 0)}
        asked = Sentinel(sentinels.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        found: redis.Redis = asked.master_for(sentinels.master, **options)  # type: ignore[no-untyped-call]
        return found
    try:
        return redis.Redis.from_url(settings.redis_url, **options)
    except ValueError as error:
        raise InvalidInput(f"LOCKSTEP_REDIS_URL={show(settings.address.shown)}: {error}") from error


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the same for asyncio, without retries; bound to the event loop that first uses it."""
    once = redis.asyncio.retry.Retry(NoBackoff(), 0)
    options = {**_options(settings), "retry": once}
    sentinels = settings.address.sentinels
    if sentinels is None:
        return redis.asyncio.Redis.from_url(settings.redis_url, **options)
    asking = {**sentinel_options(settings), "retry": once}
    asked = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        sentinels.hosts, sentinel_kwargs=asking
    )
    found: redis.asyncio.Redis = asked.master_for(sentinels.master, **options)
    return found


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "decode_responses": True,
        **socket_options(settings),
        **tls_options(settings),
        **server_options(settings),
    }
