"""How Redis is reached: time-outs, keepalive and bounded retries on every connection."""

from __future__ import annotations

import re

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from worker.operation.errors import InvalidInput
from worker.operation.names import show
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
    try:
        return redis.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=settings.redis_timeout,
            socket_connect_timeout=settings.redis_connect_timeout,
            socket_keepalive=True,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), RETRIES),
            retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        )
    except ValueError as error:
        # The value is shown only up to its password.
        shown = show(re.sub(r"//.*@", "//…@", settings.redis_url))
        raise InvalidInput(f"LOCKSTEP_REDIS_URL={shown}: {error}") from error
