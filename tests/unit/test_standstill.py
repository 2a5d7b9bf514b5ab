"""When a worker says of itself that it stands still: its loop, its work, or one step."""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.bootsteps import Blueprint
from celery.utils.dispatch import Signal

from lockstep.worker.monitoring import heartbeat, metrics
from lockstep.worker.monitoring.heartbeat import Heartbeat
from lockstep.worker.monitoring.probe import EVERY, HealthFiles
from tests.unit.test_probes import probe, says
from tests.waits import eventually


@pytest.fixture
def signs(tmp_path: Path) -> HealthFiles:
    return HealthFiles(str(tmp_path / "signs"))


class Lived:
    """Time as this process lives it: it looks every 5 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        metrics.work.start_anew()

    def beats(self, heart: Heartbeat, seconds: float) -> bool:
        """Pass so much time, and tell what the last beat says."""
        beaten = True
        for _ in range(round(seconds / EVERY)):
            self.now += EVERY
            beaten = heart.beat()
        return beaten


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lived]:
    yield Lived(monkeypatch)
    metrics.work.start_anew()


def hearing(signs: HealthFiles, quiet: float = 90.0) -> tuple[Heartbeat, list[str]]:
    """Return a heart, and why it gave up."""
    told: list[str] = []

    def give_up(trouble: str, fail: Callable[[str], None]) -> None:
        told.append(trouble)
        fail(trouble)

    return Heartbeat(signs, quiet, give_up), told


def test_a_loop_that_stands_still_fails_the_worker_and_a_lost_connection_does_not(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    heart.looping()
    assert lived.beats(heart, heartbeat.STUCK)
    assert not lived.beats(heart, EVERY)
    assert told == ["the loop that takes messages has not come round for 65 s"]
    assert probe("live", signs.directory)[1] == f"not live: {told[0]}\n"
    heart.not_looping()
    assert lived.beats(heart, EVERY)
    assert says("live", signs)


def test_a_loop_that_asks_a_frozen_redis_for_one_thing_after_the_other_does_not_stand_still(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    heart.looping()
    redis: dict[str, Any] = {"__name__": "redis.connection"}
    exec("def read(beats): return beats()", redis)
    assert redis["read"](lambda: lived.beats(heart, 10 * heartbeat.STUCK))
    assert not lived.beats(heart, EVERY)
    assert told == ["the loop that takes messages has not come round for 605 s"]


def test_an_end_that_does_not_come_fails_the_worker(
    signs: HealthFiles, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Celery waited for what a process of its pool would say, after it could open no more files."""
    monkeypatch.setattr(Heartbeat, "start", lambda _: None)
    app, told = Celery(), list[str]()
    heart = heartbeat.install(app, signs.directory, 90.0, told.append)
    monkeypatch.setattr(heart, "_give_up", lambda trouble, *_: told.append(trouble))
    steps = Blueprint(steps=app.steps["worker"])
    worker = SimpleNamespace(steps=[])
    steps.apply(worker)
    steps.start(worker)
    heart.looping()
    heart.not_looping()
    assert lived.beats(heart, 3600), "it waits for Redis"
    steps.stop(worker)
    assert lived.beats(heart, 90)
    assert not lived.beats(heart, EVERY)
    assert told == ["it has not come to its end for 95 s"]


def test_why_a_worker_ended_itself_is_told_by_the_next(
    signs: HealthFiles, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have been what it stood still for."""
    heart, _ = hearing(signs)
    heart.looping()
    assert not lived.beats(heart, heartbeat.STUCK + EVERY)
    monkeypatch.setattr(Heartbeat, "start", lambda _: None)
    monkeypatch.setattr(heartbeat, "worker_ready", starts := Signal())
    for told in (["the loop that takes messages has not come round for 65 s"], []):
        said = list[str]()
        heartbeat.install(Celery(), signs.directory, 90.0, said.append).beat()
        starts.send(sender=None)
        assert said[:1] == told


def test_messages_that_are_held_while_nothing_is_at_work_fail_the_worker(
    signs: HealthFiles, lived: Lived
) -> None:
    """As when Celery lost tasks: the loop went round, and no message was taken any more."""
    heart, told = hearing(signs)

    def turns(seconds: float, full: bool) -> bool:
        beaten = True
        for _ in range(round(seconds / EVERY)):
            heart.looping(full)
            beaten = lived.beats(heart, EVERY)
        return beaten

    with metrics.work.going_on("a step on node3"):
        assert turns(90, full=True)
    assert turns(90, full=True)
    assert turns(EVERY, full=False)
    assert turns(90, full=True)
    assert not turns(EVERY, full=True)
    assert told == ["it holds as many messages as it may, and has worked at none of them for 95 s"]
    assert not says("live", signs)
    heart.not_looping()
    assert lived.beats(heart, EVERY)


def test_work_of_which_nothing_gets_further_fails_the_worker(signs: HealthFiles, lived: Lived) -> None:
    heart, told = hearing(signs)
    with metrics.work.going_on("a step on node3"), metrics.work.going_on("a step on node4"):
        assert lived.beats(heart, 90)
        metrics.work.moves()
        assert lived.beats(heart, 90)
        assert not lived.beats(heart, EVERY)
    said = "a step on node3, the first of 2 at work, has got no further for 95 s"
    assert told == [said]
    assert probe("live", signs.directory)[1] == f"not live: {said}\n"
    assert not says("ready", signs)
    assert lived.beats(heart, EVERY), "nothing goes on any more"


def test_a_step_that_takes_too_long_fails_the_worker_while_others_go_on(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    with metrics.work.going_on("a step on node3"):
        for _ in range(36):
            with metrics.work.going_on("a step on node4"):
                assert lived.beats(heart, EVERY)
        assert not lived.beats(heart, EVERY)
    assert told == ["a step on node3 has gone on for 185 s"]


def test_a_process_that_was_frozen_or_has_no_work_has_not_stood_still(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    with metrics.work.going_on("a step on node3"):
        lived.now += 3600
        assert lived.beats(heart, EVERY)
    assert lived.beats(heart, 3600)
    heart.looping()
    lived.now += 3600
    assert lived.beats(heart, EVERY)
    assert told == []


def test_a_worker_that_gives_up_logs_what_its_threads_do_tells_who_wants_to_know_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where one of those cannot be told."""
    ended: list[int] = []
    told: list[str] = []
    go_on = threading.Event()

    def redis_is_gone(trouble: str) -> None:
        raise ConnectionError("Redis is gone")

    monkeypatch.setattr(os, "_exit", ended.append)
    waiting = [threading.Thread(target=go_on.wait, name=f"waits-{number}", daemon=True) for number in (1, 2)]
    for each in waiting:
        each.start()
    try:
        heartbeat.give_up("a step has got no further for 95 s", redis_is_gone, told.append)
    finally:
        go_on.set()
    assert (ended, told) == ([heartbeat.EXIT], ["a step has got no further for 95 s"])
    (critical,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    text = critical.getMessage()
    assert text.startswith("this process stands still, and ends: a step has got no further for 95 s; its")
    assert re.search(r"\n1 × MainThread:\n.*give_up", text, re.DOTALL)
    assert "waits-1" in text
    assert "that could not be told: Redis is gone" in caplog.text


def test_no_garbage_is_collected_while_the_threads_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some CPythons would stand still for ever, and the process with them."""
    collects: list[bool] = []
    look = sys._current_frames

    def looked() -> dict[int, FrameType]:
        collects.append(gc.isenabled())
        return look()

    monkeypatch.setattr(sys, "_current_frames", looked)
    assert "MainThread" in heartbeat.stacks()
    assert (collects, gc.isenabled()) == ([False], True)


def test_a_log_that_stands_still_keeps_no_worker_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, go_on = list[int](), threading.Event()
    monkeypatch.setattr(heartbeat, "TELL", 0.01)
    monkeypatch.setattr(heartbeat.log, "critical", lambda *_: go_on.wait(10))
    monkeypatch.setattr(os, "_exit", ended.append)
    heartbeat.give_up("nothing goes on", lambda _: None)
    go_on.set()
    assert ended == [heartbeat.EXIT]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_child_of_a_prefork_worker_gives_up_by_itself(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends its process: here its thread."""
    told, over = list[str](), threading.Event()

    def passes(seconds: float) -> None:
        lived.now += seconds

    def gives_up(trouble: str, tell: Callable[[str], None]) -> None:
        tell(trouble)
        over.set()
        raise SystemExit

    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(sleep=passes, monotonic=lambda: lived.now))
    monkeypatch.setattr(heartbeat, "give_up", gives_up)
    with metrics.work.going_on("a step on node3"):
        heartbeat.watch_child(90.0, told.append)
        assert over.wait(10)
        for each in threading.enumerate():
            if each.name == "stalls":
                each.join(10)
    assert told == ["a step on node3 has got no further for 95 s"]


def test_a_full_disk_stops_no_heart_and_its_end_leaves_no_file(
    signs: HealthFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The probe tells of it, and the next beat may succeed."""
    beats = [OSError(errno.ENOSPC, "No space left on device")] * 2
    beat = HealthFiles.beat

    def full(self: HealthFiles) -> None:
        if beats:
            raise beats.pop()
        beat(self)

    monkeypatch.setattr(HealthFiles, "beat", full)
    monkeypatch.setattr(heartbeat, "EVERY", 0.001)
    heart, _ = hearing(signs)
    heart.start()
    eventually(lambda: says("live", signs), "it beats")
    monkeypatch.setattr(heartbeat, "EVERY", EVERY)
    heart.end()
    assert caplog.messages == [f"no heartbeat in {signs.directory}: No space left on device"] * 2
    assert list(Path(signs.directory).iterdir()) == []
