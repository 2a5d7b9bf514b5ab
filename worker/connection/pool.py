"""Pools of connections to Redis that are bounded, wait where there is none, and give back what is idle.

A Redis takes so many connections and no more (`maxclients`), and whoever keeps those that he does not use
shuts others out. redis-py's own pools keep every connection that was ever needed at the same time.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import threading
import time
from typing import Any

import redis
from redis.exceptions import MaxConnectionsError
from redis.sentinel import SentinelConnectionPool

from lockstep.worker.forks import renew_in_children

logger = logging.getLogger(__name__)
MOST = 8
"""Connections of one pool: what threads send is gathered, and more of them would only wait in Redis."""
IDLE = 10.0
"""Seconds after which a connection that nobody uses is closed: well above the pauses between bursts of tasks,
for a new one costs more than 30 commands over it."""
PATIENCE = 10.0
"""Seconds for which a connection is waited for, one of the pool's own or one that Redis has to spare."""
AWAY = (redis.RedisError,)
"""What redis-py raises when Redis is away."""
FULL = "max number of clients reached"
Mixed: Any = object


class _Bounded(Mixed):  # type: ignore[misc]
    """What is mixed into a pool of redis-py."""

    patience = PATIENCE
    _closed = False
    _created_connections: int
    _closing: threading.Timer | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection; wait while all are in use, or while Redis has none left.

        Raises redis-py's ConnectionError when the patience is over.
        """
        self._closed = False
        ends = time.monotonic() + self.patience
        full = False
        while True:
            try:
                return super().get_connection(*args, **options)
            except redis.ConnectionError as error:
                told = isinstance(error, MaxConnectionsError) or FULL in str(error)
                # A Redis that is full closes at once; what it said can be lost with the connection.
                if not (told or full) or time.monotonic() >= ends:
                    raise
                if not full and not isinstance(error, MaxConnectionsError):
                    full = True
                    logger.warning("Redis has no connection left (maxclients): waiting %g s", self.patience)
            time.sleep(random.uniform(0.02, 0.1) if not full else random.uniform(0.1, 0.5))

    def make_connection(self) -> Any:
        """Return a new connection; redis-py counts those that could not be made, until it makes no more."""
        made = self._created_connections
        try:
            return super().make_connection()
        except BaseException:
            self._created_connections = made
            raise

    def release(self, connection: Any) -> None:
        """Take a connection back; it is closed if unused for a while, or if it must not be used again.

        A call that was interrupted between sending and reading leaves an answer behind, which the next to
        take the connection would read as its own.
        """
        error = sys.exc_info()[1]
        if self._closed or not (error is None or isinstance(error, redis.ResponseError)):
            connection.disconnect()
        connection.idle_since = time.monotonic()
        super().release(connection)
        with self._lock:
            # A client that is collected at the very end gives its connection back, when no thread can start.
            if self._closing is None and self._available_connections and not sys.is_finalizing():
                self._close_later(IDLE)

    def close(self) -> None:
        """Close what is idle now, and what is in use once it is given back."""
        self._closed = True
        self.disconnect(inuse_connections=False)

    def start_anew(self) -> None:
        """Be empty in a forked child, which has no thread that closes anything."""
        self._lock, self._fork_lock = threading.RLock(), threading.RLock()
        self._closing = None
        self.reset()

    def _close_later(self, seconds: float) -> None:
        self._closing = threading.Timer(seconds, self._close_idle)
        self._closing.daemon = True
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            self._closing.start()

    def _close_idle(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._closing = None
            # The one that was used last is taken first: those in front have been idle for longest.
            left = [each for each in self._available_connections if now - each.idle_since < IDLE]
            dropped = [each for each in self._available_connections if each not in left]
            self._available_connections[:] = left
            self._created_connections -= len(dropped)
            if left:
                self._close_later(max(0.1, IDLE - (now - left[0].idle_since)))
        for connection in dropped:
            connection.disconnect()


class Pool(_Bounded, redis.ConnectionPool):
    """Connections to one server."""


class SentinelPool(_Bounded, SentinelConnectionPool):
    """Connections to the server that Sentinels name."""


def bounded(pool: Any, patience: float = PATIENCE) -> Any:
    """Have a pool that redis-py or a library made wait and give back; return it."""
    pool.__class__ = SentinelPool if isinstance(pool, SentinelConnectionPool) else Pool
    pool.patience = patience
    renew_in_children(pool)
    return pool
