"""What a waiting caller is told by Redis as it happens: the events of one operation."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import cast

from redis.client import PubSub

from lockstep.worker.forks import leave_to_parent, renew_in_children
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.record.causes import store_errors

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

    def __init__(self, pubsub: Callable[[], PubSub], channel: str) -> None:
        self._make = pubsub
        self._pubsub = pubsub()
        self._channel = channel
        self._subscribed = False
        renew_in_children(self)

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def subscribe(self) -> None:
        """Make sure, where Redis allows it, that no event from now on is missed."""
        if self._subscribed and not getattr(self._pubsub.connection, "outdated", False):
            return
        self._drop()
        try:
            with store_errors():
                self._pubsub.subscribe(self._channel)
                # A reading must not overtake the subscription, so its confirmation is waited for.
                self._subscribed = self._pubsub.get_message(timeout=CONFIRM) is not None
        except StoreUnavailable:
            pass  # told by the reading that follows
        if not self._subscribed:
            self._drop()

    def wait(self, timeout: float, gather: float = COALESCE) -> None:
        """Return after a decisive event, `gather` seconds after any other, or after `timeout` seconds."""
        ends = time.monotonic() + timeout
        while (left := ends - time.monotonic()) > 0:
            if not self._subscribed:
                time.sleep(left)
                return
            try:
                with store_errors():
                    message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=left)
            except StoreUnavailable:
                self._drop()
                continue
            if message is not None:
                if is_decisive(message["data"]):
                    return
                ends = min(ends, time.monotonic() + gather)

    def start_anew(self) -> None:
        leave_to_parent(self._pubsub)
        self._pubsub, self._subscribed = self._make(), False

    def _drop(self) -> None:
        self._subscribed = False
        self._pubsub.close()


def is_decisive(event: object) -> bool:
    """Tell whether an event is one that waiting callers look into at once; what cannot be read is."""
    try:
        return not isinstance(event, str) or json.loads(event)["what"] in DECISIVE
    except (ValueError, KeyError, TypeError):
        return True
