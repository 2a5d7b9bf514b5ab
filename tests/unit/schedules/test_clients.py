"""A client's wait for events, interrupted wherever that can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis.client

from lockstep.worker.record import events
from tests.unit.schedules import Schedule, explore


class Wire:
    """A connection over which nothing comes but what redis-py needs to hear."""

    outdated = False
    is_connected = True
    health_check_interval = 0
    encoder = None
    host, port, db = "localhost", 6379, 0

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._replies: list[list[object]] = []
        self.retry = SimpleNamespace(call_with_retry=lambda do, fail, **_: do())

    def send_command(self, name: str, *channels: object, **_: object) -> None:
        self._replies.append([name.lower().encode(), b"c", 1])

    def can_read(self, timeout: float = 0, **_: object) -> bool:
        return self._schedule.block(lambda: bool(self._replies), timeout)

    def read_response(self, **_: object) -> list[object]:
        return self._replies.pop(0)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **_: None


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # some are interrupted destructors
def test_an_interrupt_ends_a_wait_for_events_wherever_it_comes() -> None:
    encoder = SimpleNamespace(
        decode_responses=True,
        encode=lambda value: value if isinstance(value, bytes) else str(value).encode(),
        decode=lambda value, force=False: value.decode() if isinstance(value, bytes) else value,
    )

    def scenario(schedule: Schedule) -> None:
        wire = Wire(schedule)
        pool: Any = SimpleNamespace(
            get_encoder=lambda: encoder,
            get_connection=lambda *_: wire,
            release=lambda _: None,
            connection_kwargs={},
        )

        def wait() -> None:
            with events.Events(lambda: events.Subscription(pool), "c") as told:
                told.subscribe()
                told.wait(0.1)

        schedule.thread(wait, hears_signals=True)

    # Whoever hangs does so for good, if only in a destructor: then the schedule never ends.
    explore(scenario, [events, redis.client], departures=1)
