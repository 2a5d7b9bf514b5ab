"""A warning that comes over and over does not fill the disk."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery, _state
from celery.app.log import TaskFormatter
from celery.beat import ScheduleEntry, Scheduler
from celery.exceptions import ChordError, Reject
from celery.schedules import schedule
from redis.exceptions import RedisError

from lockstep.worker.celery import make_app
from lockstep.worker.monitoring import logs
from lockstep.worker.monitoring.logs import RepeatLimit
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.received import MessageLeft


class Bench:
    """A logger, its lines, and a clock on which what is to be done later is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(logs, "later", self._do_later)
        self._text = io.StringIO()
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.handler = logging.StreamHandler(self._text)
        self.handler.addFilter(RepeatLimit(self.handler, lambda _: None))
        self.log = logging.getLogger("calm")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        self.log.addHandler(self.handler)

    def _do_later(self, seconds: float, what: Callable[[], None]) -> None:
        self._later.append((self.now + seconds, what))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due, self._later = self._later, []
        for at, what in due:
            if at <= self.now:
                what()
            else:
                self._later.append((at, what))

    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.log.removeHandler(made.handler)


def test_an_error_whose_remedy_is_known_is_told_with_it(bench: Bench) -> None:
    known = ValueError("ENOENT")
    bench.handler.addFilter(RepeatLimit(bench.handler, lambda error: "mend it" if error is known else None))
    bench.log.error("cannot connect: %s", known)
    bench.log.error("cannot connect to %s: %s", "there", OSError("gone"))
    assert bench.lines() == ["cannot connect: mend it", "cannot connect to there: gone"]


def test_of_each_kind_two_are_written_and_the_others_counted(bench: Bench) -> None:
    for number in range(100):
        bench.log.warning("no answer from %s", number)
        bench.log.error("cannot connect")
    bench.pass_time(1)
    bench.log.warning("no answer from %(name)s", {"name": "another kind"})
    bench.log.warning("no answer from %s", "x")
    bench.pass_time(4)
    bench.log.warning("no answer from %s", "y")
    bench.pass_time(60)
    assert bench.lines() == [
        "no answer from 0",
        "cannot connect",
        "no answer from 1",
        "cannot connect",
        "no answer from another kind",
        "no answer from 2 (and 98 more like it)",
        "cannot connect (and 97 more like it)",
        "no answer from y",
    ]


def test_an_outage_that_goes_on_is_told_ever_more_rarely(bench: Bench) -> None:
    def say() -> None:
        bench.log.error("cannot send: %s", ConnectionError("gone"))

    for _ in range(138):
        say()
        bench.pass_time(2)
    counts = [f"cannot send: gone (and {more} more like it)" for more in (1, 3, 8, 18, 38, 58)]
    assert bench.lines() == [line for count in counts for line in ("cannot send: gone", count)]
    before = len(bench.lines())
    bench.pass_time(500)
    for _ in range(3):
        say()
    assert len(bench.lines()) == before + 1, "what comes again after a rest is news"


def test_a_refusal_of_redis_that_goes_on_is_told_ever_more_rarely(bench: Bench) -> None:
    for _ in range(18):
        bench.log.error("no tasks are taken: %s", redis.OutOfMemoryError("full"))
        bench.pass_time(4)
    line = "no tasks are taken: full"
    assert bench.lines() == [
        *(line, line),
        *(line, f"{line} (and 1 more like it)"),
        *(line, f"{line} (and 3 more like it)"),
        line,
    ]


@pytest.mark.parametrize("error", [ConnectionError("gone"), RedisError("gone"), StoreUnavailable("gone")])
def test_an_outage_of_redis_is_one_line_a_cause_and_a_count(bench: Bench, error: Exception) -> None:
    for number in range(153):
        try:
            raise Reject(str(error), requeue=True) from error
        except Reject:
            bench.log.warning("task %s rejected", number, exc_info=True)
    for _ in range(3):
        try:
            raise Reject("another cause") from ValueError()
        except Reject:
            bench.log.warning("task %s rejected", "x", exc_info=True)
    bench.pass_time(60)
    assert bench.lines() == [
        "task 0 rejected (reject requeue=True: gone)",
        "task x rejected (reject requeue=False: another cause)",
        "task 1 rejected (reject requeue=True: gone) (and 151 more like it)",
        "task x rejected (reject requeue=False: another cause) (and 1 more like it)",
    ]


def test_what_redis_is_out_of_reach_for_is_counted_together_whoever_says_it(bench: Bench) -> None:
    gone = redis.ConnectionError("gone")
    bench.log.warning("the connection is lost", exc_info=gone)
    bench.log.error("cannot connect to %s: %s.\nTrying again.\n", "it", gone)
    for number in range(20):
        bench.log.critical("no ack of %s: %r", number, ConnectionResetError("reset"))
        bench.log.warning("Exception raised outside body: network:ConnectionError: %s", number)
        left = MessageLeft("Celery raised something")
        left.__cause__ = redis.TimeoutError("slow")
        bench.log.warning("task %s is left: %s", number, left)
        try:
            raise Reject("it is away", requeue=True) from StoreUnavailable("away")
        except Reject as error:
            error.__cause__.__cause__ = gone  # type: ignore[union-attr]
            bench.log.warning("task %s rejected", number, exc_info=True)
    bench.log.warning("another thing")
    bench.pass_time(60)
    assert bench.lines() == [
        "the connection is lost (gone)",
        "another thing",
        "cannot connect to it: gone. Trying again. (and 80 more like it)",
    ]


def test_each_thing_that_lines_are_about_is_told(bench: Bench) -> None:
    for operation in ("one", "two", "three", "four"):
        bench.log.warning("operation %s has no record", operation, extra={"about": operation})
    assert len(bench.lines()) == 4


def test_a_count_is_told_with_the_task_that_it_was_left_out_of(bench: Bench) -> None:
    bench.handler.setFormatter(TaskFormatter("%(task_name)s: %(message)s", use_color=False))
    task = make_app(Settings()).tasks["lockstep.sweep"]
    task.push_request(args=(), id="x")
    stack: Any = _state._task_stack  # type: ignore[attr-defined]
    stack.push(task)
    try:
        for _ in range(5):
            bench.log.warning("it is\n")
    finally:
        stack.pop()
        task.pop_request()
    bench.pass_time(60)
    assert bench.lines()[-1] == "lockstep.sweep: it is (and 2 more like it)"


def test_what_celery_raises_because_of_an_outage_is_one_line_too(bench: Bench) -> None:
    try:
        try:
            raise RedisError("gone")
        except RedisError:
            raise RuntimeError("Retry limit exceeded")  # noqa: B904 - as Celery does
    except RuntimeError:
        bench.log.exception("the chord raised")
    bench.pass_time(60)
    try:
        raise ChordError("its callback") from ConnectionError("gone")
    except ChordError:
        bench.log.exception("the chord raised")
    bench.pass_time(60)
    warned = "trace.py:809: RuntimeWarning: Exception raised outside body: network:ConnectionError:"
    bench.log.warning("%s", f"{warned}\nTraceback (most recent call last):\n  File x\n")
    assert bench.lines() == [
        "the chord raised (Retry limit exceeded)",
        "the chord raised (its callback)",
        "Exception raised outside body: network:ConnectionError:",
    ]


def test_a_message_that_beat_could_not_send_for_an_outage_is_one_line(bench: Bench) -> None:
    app = Celery(broker="redis://127.0.0.1:1")
    app.conf.update(task_publish_retry=False, broker_transport_options={"max_retries": 0})
    scheduler, every = Scheduler(app, lazy=True), schedule(1.0)
    theirs = logging.getLogger(Scheduler.__module__)
    theirs.addHandler(bench.handler)
    for _ in range(5):
        scheduler.apply_entry(ScheduleEntry("sweep", "lockstep.sweep", schedule=every, app=app))
    bench.pass_time(60)
    theirs.removeHandler(bench.handler)
    line = "Message Error: Couldn't apply scheduled task sweep: Error 111 connecting to 127.0.0.1:1."
    assert [each[: len(line)] for each in bench.lines()] == [line] * 2
    assert bench.lines()[1].endswith(" (and 3 more like it)")


def test_what_an_outage_does_not_explain_keeps_its_traceback(bench: Bench) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        bench.log.exception("a bug")
    assert bench.lines()[:2] == ["a bug", "Traceback (most recent call last):"]


def test_what_is_no_warning_is_written_always(bench: Bench) -> None:
    for _ in range(50):
        bench.log.info("task done")
    assert len(bench.lines()) == 50
