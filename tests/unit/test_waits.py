"""No message says when: it says for how long, and its receiver counts that by its own clock."""

from __future__ import annotations

import ast
import atexit
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import beat, signals
from celery.exceptions import InvalidTaskError

from lockstep.worker.celery import WAIT, Lockstep, TaskName, make_app
from lockstep.worker.celery.broker import pools
from lockstep.worker.monitoring import heartbeat, metrics
from lockstep.worker.monitoring.heartbeat import Heartbeat
from lockstep.worker.monitoring.probe import EVERY, HealthFiles
from lockstep.worker.record.reports import Clocks
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.received import PatientRequest
from lockstep.worker.tasks.sweep import held

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
ARGUMENTS = ("op", "team-a", "node1")


@pytest.fixture(scope="module")
def app() -> Lockstep:
    made = make_app(Settings(hosts="http://node1", backoff_cap=8))
    made.loader.import_default_modules()
    return made


def received(app: Lockstep, **headers: Any) -> Any:
    message = app.amqp.create_task_message("id", TaskName.CREATE_GROUP, ARGUMENTS, {})
    payload: tuple[list[str], dict[str, str], dict[str, str]] = (list(ARGUMENTS), {}, {})
    kept = {**message.headers, **headers}
    delivered = SimpleNamespace(
        headers=kept,
        body="",
        payload=payload,
        properties={},
        delivery_info={},
        content_type="",
        content_encoding="",
    )
    return PatientRequest(
        delivered, app=app, task=app.tasks[TaskName.CREATE_GROUP], body=payload, headers=kept, decoded=True
    )


def left(request: Any) -> float:
    return float((request.eta - datetime.now(UTC)).total_seconds()) if request.eta else 0.0


def iso(ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).isoformat()


@pytest.mark.parametrize("sender", [HOUR, -HOUR, timedelta()])
def test_a_wait_is_counted_by_the_clock_of_who_receives_it(app: Lockstep, sender: timedelta) -> None:
    for wait in (5.0, 8.0):  # the longest countdown is one of ours
        assert left(received(app, **{WAIT: wait, "eta": iso(sender)})) == pytest.approx(wait, abs=1)
    assert received(app, **{WAIT: 0.5, "eta": iso(sender)}).eta is not None
    assert received(app, **{WAIT: 0, "eta": iso(sender)}).eta is None


@pytest.mark.parametrize("sender", [HOUR, -HOUR])
def test_no_message_expires_by_its_senders_clock(app: Lockstep, sender: timedelta) -> None:
    request = received(app, expires=iso(sender))
    assert request.expires is None
    assert request.request_dict["expires"] is None
    assert not request.revoked()


def test_an_eta_of_an_earlier_release_is_waited_for_if_it_can_be_a_countdown(app: Lockstep) -> None:
    assert left(received(app, eta=iso(timedelta(seconds=6)))) == pytest.approx(6, abs=1)
    assert received(app, eta=iso(-HOUR)).eta is None
    assert received(app).eta is None


@pytest.mark.parametrize(
    "headers",
    [
        {"eta": "2999-01-01T00:00:00+00:00"},
        {"eta": iso(HOUR)},
        {"eta": 5},
        {"eta": "tomorrow"},
        {WAIT: 8.1},
        {WAIT: float("inf")},
        {WAIT: float("nan")},
        {WAIT: "5"},
        {WAIT: True},
        {WAIT: []},
    ],
    ids="-".join,
)
def test_what_would_wait_for_longer_than_any_countdown_is_no_message_of_ours(
    app: Lockstep, headers: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTaskError):
        received(app, **headers)


@pytest.mark.parametrize(("countdown", "wait"), [(3.5, 3.5), (0, 0), (None, 0)])
def test_a_countdown_travels_as_a_number_of_seconds(
    app: Lockstep, monkeypatch: pytest.MonkeyPatch, countdown: Any, wait: float
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(app, "send_task", lambda *_, **options: sent.append(options))
    earlier: Any = {WAIT: 7, "other": 1}  # a retry takes along the headers of the message that it comes from
    app.tasks[TaskName.CREATE_GROUP].apply_async(ARGUMENTS, countdown=countdown, headers=earlier)
    assert sent[0]["headers"] == {WAIT: wait, "other": 1}


def test_nothing_else_makes_a_delay_and_nothing_that_is_sent_expires() -> None:
    """In all of our code `countdown` is given in one place, `eta` and `expires` nowhere."""
    given = []
    for folder in ("worker", "producer"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names: list[object] = []
                if isinstance(node, ast.Call):
                    names = [keyword.arg for keyword in node.keywords]
                elif isinstance(node, ast.Dict):
                    names = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                given += [
                    (str(path.relative_to(ROOT)), name)
                    for name in names
                    if name in ("countdown", "eta", "expires")
                ]
    allowed = [("worker/tasks/run.py", "countdown"), ("worker/tasks/received.py", "eta")]
    assert sorted(given) == sorted([*allowed, ("worker/tasks/received.py", "expires")])


class Beat(pools.Scheduler):
    """Beat without a broker: what it would send, with a wall clock and a monotonic one that a test moves."""

    sent: list[str]

    @property
    def producer(self) -> None:
        return None

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.sent.append(entry.task)


@pytest.fixture
def scheduled(app: Lockstep, monkeypatch: pytest.MonkeyPatch) -> tuple[Beat, Callable[[float], None]]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    made = Beat(app)
    made.sent = []

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return made, pass_time


def test_beat_sends_each_task_once_a_period(
    app: Lockstep, scheduled: tuple[Beat, Callable[[float], None]]
) -> None:
    schedule, pass_time = scheduled
    assert schedule.tick() == app.settings.sweep_every
    assert sorted(schedule.sent) == [TaskName.PATROL, TaskName.SWEEP], (
        "those due at the same time come in any order"
    )
    pass_time(app.settings.sweep_every - 0.5)
    assert schedule.tick() == pytest.approx(0.5)
    pass_time(0.5)
    schedule.tick()
    assert schedule.sent[2:] == [TaskName.SWEEP]


@pytest.mark.parametrize("jump", [-600.0, 600.0])
def test_beat_is_not_disturbed_by_its_wall_clock(
    app: Lockstep,
    scheduled: tuple[Beat, Callable[[float], None]],
    monkeypatch: pytest.MonkeyPatch,
    jump: float,
) -> None:
    schedule, pass_time = scheduled
    schedule.tick()
    then = datetime.now(UTC) + timedelta(seconds=jump)
    monkeypatch.setattr(app, "now", lambda: then)
    for _ in range(3):
        pass_time(app.settings.sweep_every)
        schedule.tick()
    assert schedule.sent.count(TaskName.SWEEP) == 4


def test_beat_uses_our_schedule(app: Lockstep) -> None:
    assert app.conf.beat_scheduler == f"{pools.__name__}:{pools.Scheduler.__name__}"


def test_of_what_beat_sends_flower_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, scheduler, beaten = make_app(Settings(sweep_every=2)), object(), Mock()
    made.loader.import_default_modules()
    monkeypatch.setattr(heartbeat, "install_beat", beaten)
    monkeypatch.setattr(Clocks, "tell_for_ever", Mock())
    signals.beat_init.send(Mock(app=made, scheduler=scheduler))
    assert not made.conf.task_send_sent_event
    assert beaten.call_args.args[:3] == (scheduler, made.settings.heartbeat_dir, 122.0)


@pytest.fixture
def signs(tmp_path: Path) -> HealthFiles:
    return HealthFiles(str(tmp_path), "beat")


@pytest.fixture
def beating(scheduled: tuple[Beat, Callable[[float], None]], signs: HealthFiles) -> Iterator[Heartbeat]:
    """Beat's heart, which beats when a test says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Heartbeat, "start", lambda _: None)
        patch.setattr(heartbeat, "give_up", lambda trouble, fail, *_: fail(trouble))
        metrics.work.start_anew()
        made = heartbeat.install_beat(scheduled[0], signs.directory, 120.0, lambda _: None)
        yield made
        atexit.unregister(made.end)


def test_beat_is_live_from_its_start_and_ready_once_it_has_sent_a_sweep(
    scheduled: tuple[Beat, Callable[[float], None]], beating: Heartbeat, signs: HealthFiles
) -> None:
    assert signs.trouble("live") is not None
    beating.beat()
    assert signs.trouble("live") is None
    assert "starting or stopping" in (signs.trouble("ready") or "")
    scheduled[0].tick()
    assert signs.trouble("ready") is None
    assert HealthFiles(signs.directory).trouble("live") is not None, "a worker beside it is another process"


def test_a_beat_that_sends_nothing_more_stands_still(
    scheduled: tuple[Beat, Callable[[float], None]], beating: Heartbeat, signs: HealthFiles
) -> None:
    schedule, pass_time = scheduled
    schedule.tick()
    assert lived(beating, pass_time, 120)
    assert not lived(beating, pass_time, EVERY)
    assert signs.trouble("live") == "the loop that sends the sweep has not come round for 125 s"


def test_a_beat_that_tries_in_vain_to_reach_redis_does_not_stand_still(
    scheduled: tuple[Beat, Callable[[float], None]], beating: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, pass_time = scheduled
    told = Mock()
    monkeypatch.setattr(beat, "error", told)

    def ensure_connection(failed: Callable[[Exception, float], None], most: int | None) -> None:
        for _ in range(20):
            assert lived(beating, pass_time, 30)
            failed(ConnectionError("refused"), 30.0)

    monkeypatch.setitem(vars(schedule), "connection", SimpleNamespace(ensure_connection=ensure_connection))
    schedule._ensure_connected()
    said, *about = told.call_args.args
    assert said % tuple(about) == "beat: Connection error: refused. Trying again in 30.0 seconds..."


def test_a_beat_that_sends_slowly_one_after_the_other_does_not_stand_still(
    scheduled: tuple[Beat, Callable[[float], None]], beating: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, pass_time = scheduled
    alive: list[bool] = []

    def apply_entry(entry: Any, **_: Any) -> None:
        alive.append(lived(beating, pass_time, 100))

    monkeypatch.setattr(schedule, "apply_entry", apply_entry)
    schedule.tick()
    assert lived(beating, pass_time, 100)
    schedule.tick()
    assert alive == [True] * 4


def lived(heart: Heartbeat, pass_time: Callable[[float], None], seconds: float) -> bool:
    """Pass so much time, and tell what the last beat says."""
    beaten = True
    for _ in range(round(seconds / EVERY)):
        pass_time(EVERY)
        beaten = heart.beat()
    return beaten


def test_a_killed_sweep_keeps_others_off_for_little_longer_than_one_call_to_redis_may_take() -> None:
    assert held(Settings()) == 6000
    assert held(Settings(redis_timeout=1.5)) == 4000, "two periods: one sweep may be late"
