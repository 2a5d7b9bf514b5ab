"""Connections to Redis' primary, for redis-py, kombu and Celery alike: the one place that knows when a
connection leads to the wrong server.

A name can move to another server while standing connections stay where they were: a planned failover makes
the old primary a replica and cuts nothing. Such a server says so in its errors, and in its answer to HELLO,
which every connection asks for first and again every few seconds. Then that connection is closed, all others
of this process to the same server are made anew before they are used again, and whoever asked gets
`WrongServer`, a ConnectionError: it is tried again, over a new connection, wherever those are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.asyncio.connection as asynchronous
import redis.asyncio.sentinel
import redis.connection as plain
import redis.sentinel
from redis.driver_info import DriverInfo
from redis.exceptions import BusyLoadingError, InvalidResponse, MasterDownError, ReadOnlyError

from lockstep.worker.connection.url import password_now

ASK_EVERY = 5.0
"""Seconds after which a connection that is taken from its pool asks for its server's role again: who only
reads is told of no error by a server that has become a replica."""
OLDEST = (6, 2)
"""The first Redis that has ZADD LT, which the sweep's list of due operations is kept with."""
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
    if said.get("mode") == "sentinel":
        return "it is a Sentinel"
    if said.get("mode") == "cluster":
        return "it runs in cluster mode"
    if said.get("role") in ("replica", "slave"):
        return "it is a replica"
    version = str(said.get("version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < OLDEST:
        return f"it is version {version}, older than {OLDEST[0]}.{OLDEST[1]}"
    return None


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def is_about_server(error: BaseException) -> bool:
    """Tell whether an error is about the server as a whole; if not, it is about the one command."""
    if isinstance(error, (ReadOnlyError, BusyLoadingError, MasterDownError)):
        return True
    return isinstance(error, redis.ResponseError) and bool(_IN_SCRIPTS.search(str(error)))


def _is_unfit(error: BaseException) -> bool:
    """Tell whether an error in the greeting shows that no fit Redis answers there."""
    text = str(error)
    unknown = "unknown command" in text.lower() or text.startswith("NOPROTO")
    return isinstance(error, InvalidResponse) or unknown


class _Leading:
    """What connections for threads and for asyncio have in common."""

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

    def _begin(self) -> None:
        self._since = time.monotonic()
        # What was just connected needs no check: in the greeting it would connect anew, with its own tries.
        connection: Any = self
        connection.password = password_now(connection.password)
        connection.next_health_check = self._since + connection.health_check_interval
        self._greeted = self._subscribed = False

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
        if is_about_server(error) or (not self._greeted and _is_unfit(error)):
            return self._leave(f"{type(error).__name__}: {error}")
        return None

    def _leave(self, why: str) -> WrongServer:
        _left[self._host_error()] = time.monotonic()
        return WrongServer(f"Redis at {self._host_error()} cannot be used: {why}")


class _Hearing(_Leading, Mixed):  # type: ignore[misc]
    """Hears what the server says of itself."""

    def on_connect_check_health(self, check_health: bool = True) -> None:
        self._begin()
        super().on_connect_check_health(check_health)

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


class _Asking(_Leading, Mixed):  # type: ignore[misc]
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


class _InAsyncio(_Leading, Mixed):  # type: ignore[misc]
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        self._begin()
        await super().on_connect_check_health(check_health)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Do the same."""
        try:
            response = await super().read_response(*args, **kwargs)
            self._hear(response)
        except redis.RedisError as error:
            told = self._read_as(error)
            if told is None:
                raise
            await self.disconnect(nowait=True)
            raise told from None
        return response


class Primary(_Asking, _Hearing, plain.Connection):
    """A connection to a server that is named."""


class TlsPrimary(_Asking, _Hearing, plain.SSLConnection):
    """The same with TLS."""


class FoundPrimary(_Asking, redis.sentinel.SentinelManagedConnection, _Hearing, plain.Connection):
    """A connection to the server that Sentinels name."""


class FoundTlsPrimary(_Asking, redis.sentinel.SentinelManagedSSLConnection, _Hearing, plain.SSLConnection):
    """The same with TLS."""


class AsyncPrimary(_InAsyncio, asynchronous.Connection):
    """`Primary` for asyncio."""


class AsyncTlsPrimary(_InAsyncio, asynchronous.SSLConnection):
    """`TlsPrimary` for asyncio."""


class AsyncFoundPrimary(
    redis.asyncio.sentinel.SentinelManagedConnection, _InAsyncio, asynchronous.Connection
):
    """`FoundPrimary` for asyncio."""


class AsyncFoundTlsPrimary(
    redis.asyncio.sentinel.SentinelManagedSSLConnection, _InAsyncio, asynchronous.SSLConnection
):
    """`FoundTlsPrimary` for asyncio."""
