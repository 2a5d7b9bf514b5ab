"""Flower's events are gathered for a moment, and whatever becomes of a task its message is told."""

from __future__ import annotations

import os
import pickle
import struct
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from celery.bootsteps import CLOSE, RUN  # type: ignore[attr-defined]
from celery.exceptions import WorkerShutdown
from celery.worker import consumer, state

from lockstep.worker.celery.broker import pools
from lockstep.worker.tasks import received
from tests.waits import eventually


class Rig:
    """A consumer without a worker: its event loop and its dispatcher write down what they are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: int) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.flushed = 0
        self.ended = False
        monkeypatch.setattr(received, "time", SimpleNamespace(monotonic=lambda: self.now))
        made: Any = object.__new__(received.Consumer)
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
    assert (delay, rig.flushed) == (0.1, 0)
    send()
    assert rig.flushed == 1


def test_events_after_that_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)
    rig.consumer.on_send_event_buffered()
    rig.now += received.EVENTS_WITHIN  # a timer that a lost connection has dropped holds nothing up
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
    monkeypatch.setattr(consumer.Consumer, "on_close", lambda _: rig._end(None))
    rig.consumer.on_close()
    assert (rig.flushed, rig.ended) == (1, True)


def test_a_worker_connects_later_each_time_while_no_connection_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, RUN)

    def sleep(seconds: float) -> None:
        assert seconds <= 0.1, "it looks ten times a second whether it is to stop"
        rig.now += seconds

    monkeypatch.setattr(received, "time", SimpleNamespace(monotonic=lambda: rig.now, sleep=sleep))
    connected: list[float] = []
    monkeypatch.setattr(consumer.Consumer, "connect", lambda _: connected.append(rig.now))
    for lasted in (0, 0, 0, 0, 0, 3600, 0, 0):
        rig.consumer.connect()
        rig.now += lasted
    pauses = [round(later - earlier) for earlier, later in pairwise(connected)]
    assert pauses == [1, 2, 3, 4, 4, 3600, 1]


def test_workers_tell_each_other_nothing_whatever_they_are_started_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(consumer.Consumer, "__init__", lambda _, *__, **options: given.update(options))
    received.Consumer(without_gossip=False, without_mingle=False, hostname="w@h")
    assert given == {"without_gossip": True, "without_mingle": True, "hostname": "w@h"}


def test_why_no_tasks_are_taken_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Rig(monkeypatch, RUN).consumer.on_connection_error_before_connected(ConnectionError("refused"))
    assert caplog.messages == ["No tasks are taken until Redis serves: refused"]


def test_a_worker_that_is_to_stop_waits_for_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", 0)
    monkeypatch.setattr(consumer.Consumer, "connect", lambda _: None)
    made: Any = object.__new__(received.Consumer)
    made._tried = time.monotonic()
    with pytest.raises(WorkerShutdown):
        made.connect()


@pytest.mark.parametrize("where", ["around the task", "in telling what it came to"])
def test_what_celery_itself_raises_leaves_the_message_to_another_worker(where: str) -> None:
    """Celery's pool drops it: the message is held for ever, and a worker takes no more than its fill."""
    told: list[Any] = []

    def raises(*_: object) -> None:
        raise OSError(24, "Too many open files")

    def ends(*_: object) -> None:
        """Do nothing."""

    pool = received.Threads(1)
    task, callback = (raises, ends) if where == "around the task" else (ends, raises)
    pool.on_start()
    try:
        pool.apply_async(task, (), {}, callback=callback, error_callback=told.append)
        eventually(lambda: told, "somebody hears of it")
        pool.apply_async(ends, (), {}, callback=ends, error_callback=told.append).get(10)
    finally:
        pool.on_stop()
    (left,) = told
    assert isinstance(left.exception.exc, received.MessageLeft)
    assert str(left.exception.exc) == "Celery raised OSError(24, 'Too many open files')"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


def framed(result: object) -> bytes:
    """Return a result as a process of the pool writes it."""
    content = pickle.dumps(result)
    return struct.pack("!i", len(content)) + content


@pytest.mark.parametrize("another", [False, True], ids=["the same process", "another on the same descriptor"])
def test_a_result_that_was_half_read_when_the_connection_was_lost_is_read_to_the_end(
    pipe: tuple[int, int], another: bool
) -> None:
    """Celery makes its event loop anew, and took the second half for another result."""
    heard: list[object] = []
    process: dict[int, object] = {pipe[0]: "a process"}
    results: Any = pools.Results(
        *(None, None, {}, None, None, None, None, None, None),
        fileno_to_outq=process,
        on_process_alive=None,
    )
    results.on_state_change = heard.append

    def readable() -> Callable[[int], None]:
        """Return what the event loop calls, begun anew."""
        hub = SimpleNamespace(add_reader=lambda *_: None, remove_reader=lambda *_: None)
        handle: Callable[[int], None] = results._make_process_result(hub)
        return handle

    first, second = framed(["first", "x" * 100]), framed(["second"])
    os.write(pipe[1], first[:40])
    readable()(pipe[0])
    assert not heard
    handle = readable()
    if another:
        process[pipe[0]] = "its successor"
        os.write(pipe[1], second)
    else:
        os.write(pipe[1], first[40:] + second)
        handle(pipe[0])
    handle(pipe[0])
    assert heard == ([["second"]] if another else [["first", "x" * 100], ["second"]])
