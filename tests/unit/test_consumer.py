"""Flower's events are gathered for a moment, and whatever becomes of a task its message is told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.bootsteps import CLOSE, RUN  # type: ignore[attr-defined]

from lockstep.worker.broker import consumer
from tests.waiting import eventually


class Rig:
    """A consumer without a worker: its event loop and its dispatcher write down what they are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: int) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.flushed = 0
        self.ended = False
        monkeypatch.setattr(consumer, "time", SimpleNamespace(monotonic=lambda: self.now))
        made: Any = object.__new__(consumer.Consumer)
        made.hub = SimpleNamespace(
            call_soon=self.soon.append, call_later=lambda delay, do: self.later.append((delay, do))
        )
        made.blueprint = SimpleNamespace(state=state, shutdown=self._end)
        made.perform_pending_operations = lambda: None
        made.event_dispatcher = SimpleNamespace(flush=self._flush)
        self.consumer = made

    def _flush(self) -> None:
        assert not self.ended
        self.flushed += 1

    def _end(self, _: object) -> None:
        self.ended = True


def test_many_events_are_sent_once_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)
    for _ in range(5):
        rig.consumer.on_send_event_buffered()
    (ask,) = rig.soon
    ask()
    ((delay, send),) = rig.later
    assert (delay, rig.flushed) == (consumer.EVENTS_WITHIN, 0)
    send()
    assert rig.flushed == 1


def test_events_after_that_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)
    rig.consumer.on_send_event_buffered()
    rig.now += consumer.EVENTS_WITHIN  # a timer that a lost connection has dropped holds nothing up
    rig.consumer.on_send_event_buffered()
    assert len(rig.soon) == 2


def test_events_of_a_worker_that_stops_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, CLOSE)
    rig.consumer.on_send_event_buffered()
    rig.soon[0]()
    assert (rig.later, rig.flushed) == ([], 1)


def test_what_is_left_is_sent_before_the_dispatcher_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)
    rig.consumer.shutdown()
    assert (rig.flushed, rig.ended) == (1, True)


def test_what_is_left_outlives_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)
    monkeypatch.setattr(consumer.celery.Consumer, "on_close", lambda _: rig._end(None))
    rig.consumer.on_close()
    assert (rig.flushed, rig.ended) == (1, True)


@pytest.mark.parametrize("where", ["around the task", "in telling what it came to"])
def test_what_celery_itself_raises_leaves_the_message_to_another_worker(where: str) -> None:
    """Celery's pool drops it: the message is held for ever, and a worker takes no more than its fill."""
    told: list[Any] = []

    def raises(*_: object) -> None:
        raise OSError(24, "Too many open files")

    def ends(*_: object) -> None:
        """Do nothing."""

    pool = consumer.Threads(1)
    task, callback = (raises, ends) if where == "around the task" else (ends, raises)
    pool.on_start()
    try:
        pool.apply_async(task, (), {}, callback=callback, error_callback=told.append)
        eventually(lambda: told, "somebody hears of it")
        pool.apply_async(ends, (), {}, callback=ends, error_callback=told.append).get(10)
    finally:
        pool.on_stop()
    (left,) = told
    assert isinstance(left.exception.exc, consumer.Left)
    assert str(left.exception.exc) == "Celery raised OSError(24, 'Too many open files')"
