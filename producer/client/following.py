"""Following one operation, in threads and in asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from functools import partial

from lockstep.producer.client.connection import GIVE_UP, Link, brief
from lockstep.producer.client.events import COALESCE, CONFIRM, is_decisive
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Operation, OperationId
from lockstep.worker.record.causes import store_errors
from lockstep.worker.record.client import async_client
from lockstep.worker.settings import Settings


class Changes:
    """The operation as it stands, and then after each change: for `for` and for `async for`.

    Each iteration begins anew with the operation as it then stands.
    """

    def __init__(
        self, plain: Callable[[], Iterator[Operation]], awaited: Callable[[], AsyncIterator[Operation]]
    ) -> None:
        self._plain = plain
        self._awaited = awaited

    def __iter__(self) -> Iterator[Operation]:
        """Block the thread until the next change."""
        return self._plain()

    def __aiter__(self) -> AsyncIterator[Operation]:
        """Never block the event loop."""
        return self._awaited()


LOOK_AGAIN = 1.0
"""Seconds between readings when no event comes, for an event can be lost with a connection."""


def follow(link: Link, operation: OperationId, timeout: float) -> Generator[Operation | None]:
    """Yield the operation now and after every event, None while Redis does not answer; end at the time-out.

    To be closed by who stops early: what an interrupt meets in a finaliser is lost.
    A frozen Redis can hold this up for a few seconds longer. Raises UnknownOperation.
    """
    ends = time.monotonic() + timeout
    with link.events(operation) as events:
        while True:
            events.subscribe()
            yield link.look(operation)
            left = ends - time.monotonic()
            if left <= 0:
                return
            events.wait(min(LOOK_AGAIN, left))


async def follow_async(
    link: Link,
    operation: OperationId,
    timeout: float,  # noqa: ASYNC109 - passing it is no error here
) -> AsyncGenerator[Operation | None]:
    """Do as `follow` does without ever blocking the event loop; readings run in a thread."""
    ends = time.monotonic() + timeout
    events = AsyncEvents(link.settings, link.keys.events(operation))
    try:
        while True:
            await events.subscribe()
            within = max(GIVE_UP, ends - time.monotonic())
            yield await link.off_loop(partial(link.look, operation), within)
            left = ends - time.monotonic()
            if left <= 0:
                return
            await events.wait(min(LOOK_AGAIN, left))
    finally:
        await events.close()


class AsyncEvents:
    """What `Events` is, for asyncio. Bound to the event loop that first uses it."""

    def __init__(self, settings: Settings, channel: str) -> None:
        self._client = async_client(brief(settings))
        self._pubsub = self._client.pubsub()
        self._channel = channel
        self._subscribed = False

    async def subscribe(self) -> None:
        """Make sure, where Redis allows it, that no event from now on is missed."""
        if self._subscribed and not getattr(self._pubsub.connection, "outdated", False):
            return
        await self._drop()
        try:
            with store_errors():
                await self._pubsub.subscribe(self._channel)
                self._subscribed = await self._pubsub.get_message(timeout=CONFIRM) is not None
        except StoreUnavailable:
            pass  # told by the reading that follows
        if not self._subscribed:
            await self._drop()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        """Return after a decisive event, a moment after any other, or after `timeout` seconds."""
        ends = time.monotonic() + timeout
        while (left := ends - time.monotonic()) > 0:
            if not self._subscribed:
                await asyncio.sleep(left)
                return
            try:
                with store_errors():
                    message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=left)
            except StoreUnavailable:
                await self._drop()
                continue
            if message is not None:
                if is_decisive(message["data"]):
                    return
                ends = min(ends, time.monotonic() + COALESCE)

    async def close(self) -> None:
        """Close the connection."""
        await self._drop()
        await self._client.aclose()

    async def _drop(self) -> None:
        self._subscribed = False
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
