"""Connections to Redis' primary, and pools of them, for redis-py, kombu and Celery alike.

The one place that knows when a connection leads to the wrong server: a planned failover makes the old primary
a replica and cuts nothing. It says so in its errors, and in its answer to HELLO, which every connection asks
for first and again every few seconds. Then that connection is closed, all others of this process to the same
server are made anew before they are used again, and the caller gets `WrongServer`, and tries again.

redis-py's own pools keep every connection that was ever needed; these are bounded, wait, and give back.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.connection as plain
import redis.sentinel
from redis import exceptions
from redis.driver_info import DriverInfo

from lockstep.worker.process.forks import renew_in_children
from lockstep.worker.settings.redis_url import password_now

logger = logging.getLogger(__name__)
ASK_EVERY = 5.0
"""Seconds after which a connection that is taken from its pool asks for its server's role again: who only
reads is told of no error by a server that has become a replica."""
OLDEST = (6, 2)
"""The first Redis that has ZADD LT, which the sweep's list of due operations is kept with."""
UNFIT_MODES: dict[object, str] = {"sentinel": "it is a Sentinel", "cluster": "it runs in cluster mode"}
_IN_SCRIPTS = re.compile(r"(?:^|-)(READONLY|LOADING|MASTERDOWN|UNBLOCKED) ")
"""Older servers wrap the error of a command in a script into one of their own."""
Mixed: Any = object
"""What is mixed into a connection: its attributes are the connection's."""
DRIVER = DriverInfo()
"""What connections tell Redis of redis-py; by itself each would read its version from a file."""
_left: dict[str, float] = {}
"""Server -> when (monotonic) a connection to it was last told that it is the wrong one."""


class WrongServer(redis.ConnectionError):
    """The server at the other end cannot serve Lockstep; the text ends with what it said."""


def judge(greeting: Mapping[Any, Any]) -> str | None:
    """Say why a server that answers HELLO like this cannot serve; None if it can."""
    said = {_text(name): _text(value) for name, value in greeting.items()}
    if why := UNFIT_MODES.get(said.get("mode")):
        return why
    if said.get("role") in ("replica", "slave"):
        return "it is a replica"
    version = str(said.get("version", ""))
    return f"it is version {version}, older than {OLDEST[0]}.{OLDEST[1]}" if too_old(version) else None


def too_old(version: str) -> bool:
    """Tell whether a server of this version lacks commands that Lockstep uses; what cannot be read is not."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return len(numbers) == 2 and numbers < OLDEST


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def is_about_server(error: BaseException) -> bool:
    """Tell whether an error is about the server as a whole; if not, it is about the one command."""
    if isinstance(error, (exceptions.ReadOnlyError, exceptions.BusyLoadingError, exceptions.MasterDownError)):
        return True
    return isinstance(error, redis.ResponseError) and bool(_IN_SCRIPTS.search(str(error)))


class _Replies(Mixed):
    """Hears what the server says of itself."""

    _since = 0.0
    _asked = 0.0
    _greeted = False
    _subscribed = False
    _host_error: Callable[[], str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"driver_info": DRIVER, **options})

    @property
    def outdated(self) -> bool:
        """Whether another connection has learnt since that this server is the wrong one."""
        return self._since < _left.get(self._host_error(), 0.0)

    def on_connect_check_health(self, check_health: bool = True) -> Any:
        self._since = time.monotonic()
        # What was just connected needs no check: in the greeting it would connect anew, with its own tries.
        connection: Any = self
        connection.password = connection.password and password_now(connection.password)
        connection.next_health_check = self._since + connection.health_check_interval
        self._greeted = self._subscribed = False
        return super().on_connect_check_health(check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read an answer; raise WrongServer, and disconnect, if it says that this is the wrong server."""
        try:
            response = super().read_response(*args, **kwargs)
            self._hear(response)
        except redis.RedisError as error:
            told = self._read_as(error)
            if told is None:
                raise
            self.disconnect()
            raise told from None
        return response

    def _hear(self, response: object) -> None:
        """Judge the first answer, and every later one to HELLO."""
        if self._greeted or not isinstance(response, dict):
            return
        self._greeted, self._asked = True, time.monotonic()
        if (why := judge(response)) is not None:
            raise self._leave(why)

    def _read_as(self, error: BaseException) -> WrongServer | None:
        """Return what to raise in place of an error, or None."""
        if isinstance(error, WrongServer):
            return error
        text = str(error)
        unknown = "unknown command" in text.lower() or text.startswith("NOPROTO")
        unfit = isinstance(error, exceptions.InvalidResponse) or unknown  # in answer to the greeting
        if is_about_server(error) or (unfit and not self._greeted):
            return self._leave(f"{type(error).__name__}: {text}")
        return None

    def _leave(self, why: str) -> WrongServer:
        _left[self._host_error()] = time.monotonic()
        return WrongServer(f"Redis at {self._host_error()} cannot be used: {why}")


class _RoleCheck(_Replies):
    """Asks an open connection's server, when it is taken from its pool, whether it is still the primary."""

    def connect(self) -> None:
        """Connect, unless the connection is open and still leads to the primary."""
        # A subscribed one is between two messages, not between two commands: an answer would be one of those.
        if self._sock is not None and not self._subscribed:
            asking = time.monotonic() - self._asked > ASK_EVERY
            if self.outdated or (asking and not self._is_primary()):
                self.disconnect()
        super().connect()

    def send_command(self, *args: Any, **options: Any) -> None:
        """Send a command; kombu subscribes with connections that redis-py does not know to be subscribed."""
        if "SUBSCRIBE" in str(args[0]).upper():
            self._subscribed = True
        super().send_command(*args, **options)

    def _is_primary(self) -> bool:
        self._greeted = False
        try:
            self.send_command("HELLO", check_health=False)
            self.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return True


class Primary(_RoleCheck, plain.Connection):
    """A connection to a server that is named."""


class TlsPrimary(_RoleCheck, plain.SSLConnection):
    """The same with TLS."""


class FoundPrimary(_RoleCheck, redis.sentinel.SentinelManagedConnection, _Replies, plain.Connection):
    """A connection to the server that Sentinels name."""


class FoundTlsPrimary(_RoleCheck, redis.sentinel.SentinelManagedSSLConnection, _Replies, plain.SSLConnection):
    """The same with TLS."""


MOST = 8
"""Connections of one pool: what threads send is gathered, and more of them would only wait in Redis."""
IDLE = 10.0
"""Seconds after which an unused connection is closed: above the pauses between bursts, for one is dear."""
LONGEST_WAIT = 10.0
"""Seconds for which a connection is waited for, one of the pool's own or one that Redis has to spare."""
AWAY = (redis.RedisError,)
OUT_OF_REACH = (redis.ConnectionError, redis.TimeoutError, ConnectionError, TimeoutError)


class _Bounded(Mixed):
    """What is mixed into a pool of redis-py."""

    longest = LONGEST_WAIT
    _closed = False
    _created_connections: int
    _closing: threading.Timer | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection; wait for it while all are in use, or Redis has none left; raise in the end."""
        self._closed = False
        ends = time.monotonic() + self.longest
        full = False
        while True:
            try:
                return super().get_connection(*args, **options)
            except redis.ConnectionError as error:
                own = isinstance(error, exceptions.MaxConnectionsError)
                told = own or "max number of clients reached" in str(error)
                # A Redis that is full closes at once; what it said can be lost with the connection.
                if not (told or full) or time.monotonic() >= ends:
                    raise
                if not (full or own):
                    full = True
                    logger.warning("Redis has no connection left (maxclients): waiting %g s", self.longest)
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


class SentinelPool(_Bounded, redis.sentinel.SentinelConnectionPool):
    """Connections to the server that Sentinels name."""


def bounded(pool: Any, longest: float = LONGEST_WAIT) -> Any:
    """Have a pool that redis-py or a library made wait and give back; return it."""
    pool.__class__ = SentinelPool if isinstance(pool, redis.sentinel.SentinelConnectionPool) else Pool
    pool.longest = longest
    renew_in_children(pool)
    return pool
