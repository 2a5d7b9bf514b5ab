"""What a worker's and beat's heart is tied to: Celery's steps and signals, and beat's schedule."""

from __future__ import annotations

import atexit
import errno
import gc
import logging
import math
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.utils.dispatch import Signal

from lockstep.worker.monitoring import heartbeat, metrics
from lockstep.worker.monitoring.heartbeat import EXIT, TELL, Heartbeat, install, install_beat, not_own
from lockstep.worker.monitoring.probe import EVERY, HealthFiles
from lockstep.worker.process import greenlets

SIGNALS = ("worker_ready", "worker_shutting_down", "worker_shutdown")


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Signal]:
    """Signals of Celery that nobody else hears."""
    own = [Signal() for _ in SIGNALS]
    for name, signal in zip(SIGNALS, own, strict=True):
        monkeypatch.setattr(heartbeat, name, signal)
    return own


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Heartbeat]:
    """The hearts that were started; none of them beats by itself."""
    found: list[Heartbeat] = []

    def start(heart: Heartbeat) -> None:
        found.append(heart)

    monkeypatch.setattr(Heartbeat, "start", start)
    return found


class Timer:
    """A loop's timer, whose turn comes when the test says so."""

    def __init__(self) -> None:
        self.every = 0.0
        self.turn: Callable[[], None] = lambda: None
        self.cancelled = False

    def call_repeatedly(self, every: float, turn: Callable[[], None]) -> Timer:
        self.every, self.turn = every, turn
        return self

    def cancel(self) -> None:
        self.cancelled = True


def test_a_workers_heart_follows_its_loop(
    tmp_path: Path, signals: list[Signal], begun: list[Heartbeat], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, noted = Celery(set_as_current=False), list[object]()
    heart = install(app, str(tmp_path / "signs"), 90.0, print)
    assert begun == [heart]
    monkeypatch.setattr(heart, "looping", lambda full=False: noted.append(full))
    monkeypatch.setattr(heart, "not_looping", lambda: noted.append("not looping"))
    (loop,) = [each for each in app.steps["consumer"] if each.__module__ == heartbeat.__name__]
    timer, takes = Timer(), [True]
    qos = SimpleNamespace(can_consume=lambda: takes[0])
    consumer = SimpleNamespace(
        timer=timer, task_consumer=SimpleNamespace(channel=SimpleNamespace(qos=qos)), steps=[]
    )
    step = loop(consumer)
    step.stop(consumer)  # as when Redis is away at the start
    step.start(consumer)
    assert (noted, timer.every) == (["not looping", False], EVERY)
    timer.turn()
    takes[0] = False
    timer.turn()
    step.stop(consumer)
    assert (noted[2:], timer.cancelled) == ([False, True, "not looping"], True)
    assert loop.requires == ("celery.worker.consumer:Tasks",)


def test_a_worker_shows_when_it_is_ready_when_it_stops_and_when_it_has_ended(
    tmp_path: Path, signals: list[Signal], begun: list[Heartbeat]
) -> None:
    directory = tmp_path / "deep" / "signs"
    install(Celery(set_as_current=False), str(directory), 90.0, print).beat()
    gc.collect()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = [["live"], ["live", "ready"], ["live"], []]
    for signal, now in zip([None, *signals], files, strict=True):
        if signal is not None:
            signal.send(None)
        assert sorted(each.name for each in directory.iterdir()) == now


def test_beat_is_ready_once_it_has_come_round_and_tells_of_a_full_disk(
    tmp_path: Path, begun: list[Heartbeat], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[Any] = []
    monkeypatch.setattr(atexit, "register", ends.append)
    scheduler: Any = SimpleNamespace()
    heart = install_beat(scheduler, str(tmp_path / "signs"), 75.0, print)
    assert (begun, ends) == ([heart], [heart.end])
    assert (heart._quiet, heart._stuck) == (math.inf, 75.0)
    assert scheduler.going == heart.looping
    assert heart._looped is not None, "a schedule that never gets going stands still"
    full = [OSError(errno.ENOSPC, "No space left on device")]
    ready = HealthFiles.is_ready

    def is_ready(self: HealthFiles) -> None:
        if full:
            raise full.pop()
        ready(self)

    monkeypatch.setattr(HealthFiles, "is_ready", is_ready)
    scheduler.come_round()
    assert caplog.messages == ["beat cannot show that it is ready: No space left on device"]
    assert not (tmp_path / "signs" / "beat-ready").exists()
    scheduler.come_round()
    assert (tmp_path / "signs" / "beat-ready").exists()
    assert scheduler.come_round == heart.looping


def test_why_the_one_before_ended_is_told_as_far_as_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signs = HealthFiles(str(tmp_path))
    signs.beat("it stood still")

    def tell(_: str) -> None:
        raise OSError("Redis is gone")

    heart = Heartbeat(signs, tell=tell)
    heart.ready()
    assert Path(signs.ready).exists()
    assert caplog.messages == ["why the one before ended itself could not be told: Redis is gone"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_not_our_own(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert not_own(str(tmp_path)) == f"may be written to by others (mode {mode:o})"
    tmp_path.chmod(0o755)
    assert not_own(str(tmp_path)) is None


def test_what_is_no_directory_or_somebody_elses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert not_own(str(file)) == "is no directory"
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert not_own(str(tmp_path)) == f"belongs to user {mine}, not to {mine + 1}"


def test_an_unhealthy_process_ends_with_a_status_and_within_a_time_that_are_known() -> None:
    assert (EXIT, TELL) == (70, 10.0)


def test_threads_that_do_the_same_are_told_of_together_the_most_first_and_steps_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = sys._getframe()
    monkeypatch.setattr(threading, "enumerate", lambda: [SimpleNamespace(ident=-1, name="one")])
    monkeypatch.setattr(heartbeat, "frames", lambda: dict.fromkeys((-3, -2, -1), here))
    monkeypatch.setattr(greenlets, "stacks", lambda: ["a wait\n"] * 4 + ["another\n"])
    told = heartbeat.stacks().split(":\n")
    assert told[0] == "4 × a step, a step, a step, a step"
    assert told[1] == "a wait\n\n3 × -2, -3, one"
    assert told[-1] == "another\n"


def test_for_how_long_it_stands_still_is_counted_from_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = Heartbeat(HealthFiles(str(tmp_path)), 90.0)
    monkeypatch.setattr(metrics.work, "now", 1000.0)
    heart.looping(full=True)
    heart.ending()
    monkeypatch.setattr(metrics.work, "now", 1060.0)
    assert heart._trouble() is None
    monkeypatch.setattr(metrics.work, "now", 1100.0)
    told = [heart._trouble()]
    heart._looped = None
    told.append(heart._trouble())
    heart.not_looping()
    told.append(heart._trouble())
    assert told == [
        "the loop that takes messages has not come round for 100 s",
        "it holds as many messages as it may, and has worked at none of them for 100 s",
        "it has not come to its end for 100 s",
    ]


def test_the_end_waits_for_a_beat_under_way_no_longer_than_one_beat(tmp_path: Path) -> None:
    signs = HealthFiles(str(tmp_path))
    heart = Heartbeat(signs)
    heart.end()  # it never began
    heart = Heartbeat(signs)
    heart.start()
    assert (heart._beats.daemon, heart._beats.name) == (True, "heartbeat")
    heart.end()
    assert not heart._beats.is_alive()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_stops_before_it_is_ready_has_nothing_to_take_back(tmp_path: Path) -> None:
    Heartbeat(HealthFiles(str(tmp_path))).stopping()


def test_the_watch_over_a_child_does_not_keep_it_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: begun.append(thread))  # noqa: PLW0108
    heartbeat.watch_child(90.0)
    assert [each.daemon for each in begun] == [True]
