"""Following one operation, in threads and in asyncio: told by an event, read from the record."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal, NamedTuple, cast

from redis.client import PubSub

from lockstep.worker.connection import GIVE_UP
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId, Status, Step
from lockstep.worker.process.forks import leave_to_parent
from lockstep.worker.record.causes import NO_REDIS
from lockstep.worker.record.damage import unknown
from lockstep.worker.record.link import Link

COALESCE = 0.05
"""Seconds for which events are gathered into one reading: a thousand hosts are not a thousand readings."""
CONFIRM = 0.5
"""Seconds for which a subscription is waited for; without it the record is read every second."""
DECISIVE = frozenset({"decided", "ended", "abandoned"})
"""Events that are looked into at once."""


class _Flag:
    """What redis-py needs of an event, without the lock that an interrupt can leave held: closing waits for
    that, and so does whatever destroys a subscription. One thread uses it.
    """

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            time.sleep(timeout or 0.0)
        return self._set


class Subscription(PubSub):
    """redis-py's, with such a flag from the beginning."""

    @property
    def subscribed_event(self) -> threading.Event:
        return cast(threading.Event, self.__dict__.setdefault("flag", _Flag()))

    @subscribed_event.setter
    def subscribed_event(self, _: threading.Event) -> None:
        """Keep the flag."""


class Events:
    """A subscription that never raises: without Redis it only waits, and subscribes again later."""

    def __init__(self, link: Link, operation: OperationId) -> None:
        self._link = link
        self._channel = link.keys.events(operation)
        self._pubsub, self._subscribed = Subscription(link.subscriber.connection_pool), False

    def start_anew(self) -> None:
        """Subscribe again in a forked child, over a connection of its own."""
        leave_to_parent(self._pubsub)
        self._pubsub, self._subscribed = Subscription(self._link.subscriber.connection_pool), False

    def __enter__(self) -> Events:
        self._link.followed.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.followed.discard(self)
        self._drop()

    def subscribe(self) -> None:
        """Make sure, where Redis allows it, that no event from now on is missed."""
        if self._subscribed and not getattr(self._pubsub.connection, "outdated", False):
            return
        self._drop()
        with suppress(*NO_REDIS):  # told by the reading that follows
            self._pubsub.subscribe(self._channel)
            # A reading must not overtake the subscription, so its confirmation is waited for.
            self._subscribed = self._pubsub.get_message(timeout=CONFIRM) is not None

    def wait(self, timeout: float, gather: float) -> bool:
        """Return True after a decisive event, False `gather` seconds after any other or `timeout` seconds."""
        ends = time.monotonic() + timeout
        while (left := ends - time.monotonic()) > 0:
            if not self._subscribed:
                time.sleep(left)
                return False
            try:
                message = self._pubsub.get_message(timeout=left)
            except NO_REDIS:
                self._drop()
                continue
            if message is not None:
                if is_decisive(message["data"]):
                    return True
                ends = min(ends, time.monotonic() + gather)
        return False

    def _drop(self) -> None:
        self._subscribed = False
        self._pubsub.close()


def is_decisive(event: object) -> bool:
    """Tell whether an event is one that waiting callers look into at once; what cannot be read is."""
    try:
        return not isinstance(event, str) or json.loads(event)["what"] in DECISIVE
    except (ValueError, KeyError, TypeError):
        return True


class Changes:
    """For each `for` and `async for`: the operation as it then stands, and as it is after each change."""

    def __init__(
        self, plain: Callable[[], Iterator[Status]], awaited: Callable[[], AsyncIterator[Status]]
    ) -> None:
        self._plain, self._awaited = plain, awaited

    def __iter__(self) -> Iterator[Status]:
        """Block the thread until the next change."""
        return self._plain()

    def __aiter__(self) -> AsyncIterator[Status]:
        """Never block the event loop."""
        return self._awaited()


LOOK_AGAIN = 1.0
"""Seconds between readings when no event comes, for an event can be lost with a connection."""


class Snapshot(NamedTuple):
    """An operation, and its hosts if they were read with it; empty if Redis did not answer."""

    operation: Status | None = None
    steps: tuple[Step, ...] = ()


Hosts = Literal["never", "once decided", "always"]
"""When the hosts of an operation are read with it."""


def follow(
    link: Link, operation: OperationId, timeout: float, each: bool = True, hosts: Hosts = "never"
) -> Generator[Snapshot]:
    """Yield the operation now and after every event, None while Redis does not answer; end at the timeout.

    Without `each` what a host does before the decision is no reason to read: for who waits for the end alone.
    To be closed by who stops early: what an interrupt meets in a finaliser is lost.
    A frozen Redis can hold this up for a few seconds longer. Raises UnknownOperation.
    """
    ends = time.monotonic() + timeout
    with Events(link, operation) as events:
        decisive = False
        while True:
            events.subscribe()
            found = look(link, operation, _wanted(hosts, decisive))
            yield found
            left = ends - time.monotonic()
            if left <= 0:
                return
            decisive = events.wait(min(LOOK_AGAIN, left), _gathering(found.operation, each))


async def follow_async(
    link: Link,
    operation: OperationId,
    timeout: float,  # noqa: ASYNC109 - passing it is no error here
    each: bool = True,
    hosts: Hosts = "never",
) -> AsyncGenerator[Snapshot]:
    """Do as `follow` does, which goes on in a thread of its own, without ever blocking the event loop."""
    ends, found = time.monotonic() + timeout, follow(link, operation, timeout, each, hosts)
    thread = ThreadPoolExecutor(1, thread_name_prefix="lockstep-reader")
    try:
        while True:
            reading = asyncio.get_running_loop().run_in_executor(thread, next, found, None)
            try:
                seen = await asyncio.wait_for(reading, max(GIVE_UP, ends - time.monotonic()))
            except TimeoutError:  # a frozen Redis: the thread hears of that later
                yield Snapshot()
                return
            if seen is None:
                return
            yield seen
    finally:
        thread.submit(found.close)
        thread.shutdown(wait=False)


def look(link: Link, operation: OperationId, with_steps: bool) -> Snapshot:
    """Read an operation, empty when Redis does not answer. Raises UnknownOperation."""
    try:
        read = link.waiting
        found = Snapshot(*read.with_steps(operation)) if with_steps else Snapshot(read.operation(operation))
    except StoreUnavailable:
        return Snapshot()
    if found.operation is None:
        raise unknown(operation)
    link.heard = time.monotonic()
    return found


def _wanted(hosts: Hosts, decisive: bool) -> bool:
    return hosts == "always" or (decisive and hosts == "once decided")


def _gathering(found: Status | None, each: bool) -> float:
    """Return for how long events are gathered: until they tell what who follows waits for."""
    return COALESCE if each or found is None or found.decision is not None else LOOK_AGAIN
