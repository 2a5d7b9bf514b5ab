"""How Redis is reached: clients with timeouts, keepalive, TLS and bounded retries, and their options.

The options are in redis-py's names, the same for the record and for Celery.
"""

from __future__ import annotations

import sys
import time
from math import inf
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from lockstep.worker.connection.primary import (
    MOST,
    FoundPrimary,
    FoundTlsPrimary,
    Primary,
    TlsPrimary,
    bounded,
)
from lockstep.worker.settings import Settings
from lockstep.worker.settings.redis_url import Login

RETRIES = 3
"""Scripts may be repeated, so a dropped connection is tried again; a frozen server is given up on soon."""

GIVE_UP = 2.0
"""Seconds after which a waiting caller takes a frozen Redis for gone and asks again, so that its own timeout
is kept to within about this."""

SKEW = 5000
"""Milliseconds by which a clock may differ from Redis' before it is worth a word."""
SLOW = 1.0
"""Seconds; an answer of Redis that took longer says too little about the time."""


class _Backoff(ExponentialBackoff):
    """redis-py's, which gives up at a timeout that comes within `within` seconds of the one before."""

    def __init__(self, within: float) -> None:
        super().__init__(cap=1.0, base=0.05)
        self._within, self._timed_out_at = within, -inf

    def compute(self, failures: int) -> float:
        """Asked where an error was just caught. All that a connection tries asks it, one within another."""
        error, now = sys.exception(), time.monotonic()
        if isinstance(error, (redis.TimeoutError, TimeoutError)):
            if now - self._timed_out_at < self._within:
                raise error
            self._timed_out_at = now
        return super().compute(failures)


def client(settings: Settings, most: int = MOST, within: float = 0.0) -> redis.Redis:
    """Return a Redis client with the settings' timeouts; nothing is sent yet. Threads may share it.

    It has `most` connections at the same time, and closes those that are idle. Of a connection a
    second timeout within `within` seconds is not followed by another try.
    """
    address = settings.address
    options: dict[str, Any] = {
        "decode_responses": True,
        "retry": Retry(_Backoff(within), RETRIES),
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
        "max_connections": most,
        **socket_options(settings),
        **tls_options(settings),
        **_login(address.login),
        "db": address.database,
    }
    if address.master is None:
        ((host, port),) = address.hosts
        kind: type[redis.Connection] = TlsPrimary if address.tls else Primary
        pool = redis.ConnectionPool(connection_class=kind, host=host, port=port, **options)
        made = redis.Redis.from_pool(pool)
    else:
        # Whichever Sentinel does not answer is not asked twice: there are others.
        asking = {**sentinel_options(settings), "retry": Retry(NoBackoff(), 0)}
        asked: Any = redis.Sentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        kind = FoundTlsPrimary if address.tls else FoundPrimary
        made = asked.master_for(address.master, connection_class=kind, **options)
    bounded(made.connection_pool)
    return made


def impatient(settings: Settings, seconds: float = GIVE_UP) -> Settings:
    """Return the settings of a connection that waits for at most `seconds`."""
    names = ("redis_timeout", "redis_connect_timeout")
    return settings.but(**{name: min(getattr(settings, name), seconds) for name in names})


def impatient_client(settings: Settings, seconds: float = GIVE_UP, most: int = MOST) -> redis.Redis:
    """Return a client that gives up after `seconds`, and never tries again by itself."""
    made = client(impatient(settings, seconds), most)
    made.set_retry(Retry(NoBackoff(), 0))
    made.connection_pool.longest = seconds  # type: ignore[attr-defined]
    return made


def clock_ahead(asked: redis.Redis) -> int | None:
    """Return the milliseconds by which this machine's clock is ahead of Redis'; None if unsure."""
    wall, begun = time.time(), time.monotonic()
    seconds, micros = asked.time()
    took = time.monotonic() - begun
    return None if took > SLOW else round((wall + took / 2 - seconds - micros / 1e6) * 1000)


def socket_options(settings: Settings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.redis_timeout,  # a frozen Redis is noticed
        "socket_connect_timeout": settings.redis_connect_timeout,
        "socket_keepalive": True,  # a silently cut connection is noticed
        "health_check_interval": 15,
    }


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return what verifies Redis' certificate, always; empty without TLS."""
    if not settings.address.tls:
        return {}
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    given = {name: path for name, path in files.items() if path}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}


def sentinel_options(settings: Settings) -> dict[str, Any]:
    if settings.address.master is None:
        return {}
    return {
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_connect_timeout,
        **_login(settings.address.sentinel_login),
        "ssl": settings.address.tls,
        **tls_options(settings),
    }


def _login(login: Login) -> dict[str, str | None]:
    return {
        "username": login.username,
        "password": login.password.reveal() if login.password else None,
    }
