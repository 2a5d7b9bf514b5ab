"""Flower's configuration: who may look, what it remembers, and what a row says."""

from __future__ import annotations

import importlib
import logging
import os
import runpy
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from flower import app, events  # type: ignore[import-untyped]
from flower.views import monitor  # type: ignore[import-untyped]
from tornado.options import options

from lockstep.worker.connection import SKEW
from lockstep.worker.monitoring import flower
from lockstep.worker.monitoring.flower import CONFIGURATION, OPEN, plain, refusal, shown, sound
from lockstep.worker.operation.names import describe
from lockstep.worker.settings import Settings
from tests.waits import PATIENCE

ROOT = Path(__file__).parents[2]
importlib.import_module("flower.options")  # defines what tornado's options then hold
SECRET = ["ops:secret"]


@dataclass
class Task:
    """What Flower hands over to be shown."""

    name: str | None
    args: str | None
    result: str | None


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (
            Task("lockstep.create_group", describe("7f3c81d2aa01", "team-a", "node3"), "'applied'"),
            Task("create_group", "team-a @ node3 · op 7f3c81d2", "applied"),
        ),
        (
            Task("lockstep.conclude", describe("7f3c81d2aa01", "team-a"), '"rolled back: node4\'s 403"'),
            Task("conclude", "team-a · op 7f3c81d2", "rolled back: node4's 403"),
        ),
        # An id that somebody chose says something: it is shown as it is.
        (
            Task("other.name", describe("release-2026-11-23", "team-a"), "12"),
            Task("other.name", "team-a · op release-2026-11-23", "12"),
        ),
        # Tasks of which only the end was heard, and a result that was cut short.
        (Task(None, None, None), Task(None, None, None)),
        (Task("lockstep.settle", "", "'abc..."), Task("settle", "", "'abc...")),
    ],
)
def test_rows_are_short_and_say_what_came_of_a_task(told: Task, seen: Task) -> None:
    assert shown(told) == seen


def test_results_that_are_no_text_are_left_alone() -> None:
    assert plain("'a' + 'b'") == "'a' + 'b'"
    assert plain("{'a': 1}") == "{'a': 1}"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.0.0.7"])
def test_on_loopback_no_password_is_needed(address: str) -> None:
    assert refusal(address, "", [], {}) is None


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "10.0.0.7", "example.com"])
def test_beyond_this_machine_a_password_is_needed(address: str) -> None:
    said = refusal(address, "", ["", ""], {OPEN: "false"})
    assert said is not None
    assert "FLOWER_BASIC_AUTH=name:password" in said
    assert refusal(address, "", SECRET, {}) is None
    assert refusal(address, "", [], {OPEN: "true"}) is None


def test_a_unix_socket_has_the_rights_of_its_file() -> None:
    assert refusal("", "/run/flower.sock", [], {}) is None


def configured(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, object]:
    for name in [each for each in os.environ if each.startswith("FLOWER_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(options.mockable(), "address", "127.0.0.1")
    made = runpy.run_path(str(CONFIGURATION))
    return {name: value for name, value in made.items() if name in options}


def test_the_configuration_sets_what_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured(monkeypatch) == {
        "format_task": shown,
        "read_only": True,
        "enable_events": False,
        "max_tasks": 10_000,
        "inspect_timeout": 5000.0,
        "tasks_columns": "name,args,state,result,received,runtime,worker,uuid",
    }


def test_what_the_environment_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "FLOWER_MAX_TASKS": "7",
        "FLOWER_INSPECT_TIMEOUT": "9",
        "FLOWER_TASKS_COLUMNS": "name",
        "FLOWER_READ_ONLY": "false",
        "FLOWER_ENABLE_EVENTS": "true",
    }
    assert configured(monkeypatch, **given) == {"format_task": shown}


def test_with_a_path_its_memory_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = configured(monkeypatch, FLOWER_DB="/data/flower")
    assert (made["persistent"], made["state_save_interval"]) == (True, 60_000)


HEARD = {"type": "worker-online", "hostname": "w@h", "timestamp": 1.0}


@pytest.mark.parametrize(
    "forged",
    [
        None,
        [],
        {**HEARD, "hostname": {"a": 1}},
        {**HEARD, "hostname": ""},
        {**HEARD, "type": 3},
        {**HEARD, "type": "online"},
        {**HEARD, "timestamp": "now"},
        {"type": "worker-online", "timestamp": 1.0},
        {**HEARD, "type": "task-received"},
        {**HEARD, "type": "task-received", "uuid": ["x"]},
    ],
)
def test_an_event_that_says_not_what_it_is_about_is_dropped(forged: object) -> None:
    assert sound(forged) is None


@pytest.mark.parametrize(
    "name", ["loadavg", "freq", "active", "processed", "pid", "sw_ident", "heartbeats", "event", "x"]
)
def test_of_a_forged_event_what_cannot_be_is_left_out(name: str) -> None:
    assert sound({**HEARD, name: {"<b>": 1}}) == HEARD


def test_a_true_event_is_kept_whole() -> None:
    software = {"sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux"}
    work = {"freq": 2.0, "active": 0, "processed": 3, "loadavg": [0.1, 0.2, 0.3]}
    beat = {**software, **work, "pid": 7, "clock": 9, "utcoffset": 0, "local_received": 1.1}
    assert sound({**HEARD, **beat}) == {**HEARD, **beat}


class Stopped(BaseException):
    """Ends a loop that goes on for ever."""


def test_after_an_outage_it_listens_again_soon_however_long_that_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.Flower, "start", app.Flower.start)
    monkeypatch.setattr(events.Events, "run", events.Events.run)
    monkeypatch.setattr(events.EventsState, "event", events.EventsState.event)
    monkeypatch.setattr(monitor.Metrics, "get", monitor.Metrics.get)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 20:
            raise Stopped

    def away() -> None:
        raise OSError("connection refused")

    monkeypatch.setattr("time.sleep", sleep)
    flower.close_gaps()
    with pytest.raises(Stopped):
        events.Events.run(SimpleNamespace(capp=SimpleNamespace(connection=away)))
    assert set(waits) == {flower.AGAIN}
    assert caplog.messages[-1] == "Nothing is heard of workers (connection refused); trying again in 5 s"


def test_workers_that_are_there_are_asked_to_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def drain_events(*_: object, **__: object) -> None:
        raise Stopped

    capp = Celery(broker="memory://", set_as_current=False)
    monkeypatch.setattr(capp.control, "broadcast", lambda what, **_: asked.append(what))
    monkeypatch.setattr("kombu.Connection.drain_events", drain_events)
    with pytest.raises(Stopped):
        flower.listen(SimpleNamespace(capp=capp, on_event=print))
    assert asked == ["heartbeat"]


def test_workers_are_told_of_its_clock_while_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = iter([SKEW, None, redis.ConnectionError("away"), -SKEW - 1, SKEW + 1])
    told: list[object] = []

    def ahead(_: object) -> int | None:
        found = next(looks, Stopped())
        if isinstance(found, BaseException):
            raise found
        return found

    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr(flower, "clock_ahead", ahead)
    caplog.set_level(logging.DEBUG, flower.log.name)
    control = SimpleNamespace(broadcast=lambda what, given: told.append((what, given)))
    with pytest.raises(Stopped):
        flower.tell_clock(SimpleNamespace(settings=Settings(), control=control))
    name = f"flower@{gethostname()}"
    assert waits == [flower.TOLD_EVERY] * 5
    assert caplog.messages == ["the clock was not compared with Redis': away"]
    wrong = (-SKEW - 1, SKEW + 1)
    assert told == [("lockstep_clock", {"process": name, "ahead": each}) for each in wrong]


def test_flower_starts_with_its_clock_watched_and_takes_only_sound_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[object] = []
    done = threading.Event()
    monkeypatch.setattr(app.Flower, "start", lambda _: said.append("began"))
    monkeypatch.setattr(events.Events, "run", events.Events.run)
    monkeypatch.setattr(events.EventsState, "event", lambda _, told: said.append(told))
    monkeypatch.setattr(monitor.Metrics, "get", monitor.Metrics.get)
    threads: list[tuple[object, bool]] = []

    def tell_clock(capp: object) -> None:
        threads.append((capp, threading.current_thread().daemon))
        done.set()

    monkeypatch.setattr(flower, "tell_clock", tell_clock)
    flower.close_gaps()
    app.Flower.start(SimpleNamespace(capp="the application"))
    assert done.wait(PATIENCE)
    assert threads == [("the application", True)], "and it keeps Flower from no end"
    for told in ({**HEARD, "pid": "x"}, None):
        events.EventsState.event(None, told)
    assert said == ["began", HEARD]


def test_the_command_closes_the_gaps_and_is_celerys_with_our_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    monkeypatch.setattr(flower, "close_gaps", lambda: done.append("closed"))
    monkeypatch.setattr("celery.__main__.main", lambda: done.append(sys.argv))
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("FLOWER_CONF", "")
    monkeypatch.delenv("FLOWER_CONF")
    flower.main(["--port=1"])
    assert done == ["closed", ["celery", "-A", "lockstep", "flower", "--port=1"]]
    assert os.environ["FLOWER_CONF"] == str(CONFIGURATION)
    with pytest.raises(AttributeError, match="no attribute 'else'"):
        getattr(flower, "else")


def test_a_refusal_says_where_it_would_listen() -> None:
    assert "it would listen on every address and ask" in (refusal("", "", [], {}) or "")
    assert "it would listen on 10.0.0.7 and ask" in (refusal("10.0.0.7", "", [], {}) or "")


def test_without_flower_its_command_is_in_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flower.command", None)
    assert flower.command.hidden
