"""A line of a log: the ids of what it is about, and how it is written."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import _state, signals
from celery.exceptions import Ignore, Reject
from redis.exceptions import AuthenticationError

from lockstep.worker.celery import make_app
from lockstep.worker.monitoring.logs import (
    RepeatLimit,
    as_json,
    as_text,
    bind_task,
    limit_repeats,
    tells_something,
)
from lockstep.worker.monitoring.metrics import log_ids
from lockstep.worker.operation.answer import StopOrdered
from lockstep.worker.operation.errors import RecordDamaged, StoreUnavailable, UnknownFormat
from lockstep.worker.process.greenlets import Handover, side_by_side
from lockstep.worker.settings import Settings
from lockstep.worker.tasks import _explain, run
from lockstep.worker.tasks.received import MessageLeftToNewer


@pytest.mark.parametrize(
    ("name", "arguments", "known"),
    [
        ("patrol_group", ("g221",), {"group": "g221"}),
        ("conclude", ("o1", "g1"), {"operation": "o1", "group": "g1"}),
        ("settle", ("o1", "g1", "node1"), {"operation": "o1", "group": "g1", "host": "node1"}),
        ("create_group", ("o1", "g1", "node1", "node2"), {"operation": "o1", "group": "g1"}),
        ("sweep", (), {}),
    ],
)
def test_a_line_names_the_arguments_of_its_task(
    name: str, arguments: tuple[str, ...], known: dict[str, str]
) -> None:
    task = make_app(Settings()).tasks[f"lockstep.{name}"]
    task.push_request(args=arguments, id="x")
    stack: Any = _state._task_stack  # type: ignore[attr-defined]
    stack.push(task)
    try:
        assert bind_task(None, "", {}) == {**known, "task": f"lockstep.{name}", "task_id": "x"}
    finally:
        stack.pop()
        task.pop_request()


def test_settings_that_a_worker_shows_are_no_insecure_connection(caplog: pytest.LogCaptureFixture) -> None:
    conf, theirs = make_app(Settings(redis_url="rediss://a")).conf, logging.getLogger("kombu.connection")
    theirs.addFilter(tells_something)
    assert "rediss://a" in conf.humanize()
    assert not caplog.records
    theirs.removeFilter(tells_something)  # as in a client's process: somebody else's URL is told
    conf.humanize()
    assert "insecure SSL" in caplog.text


def written(form: Callable[[logging.Logger], None], name: str) -> str:
    """What a line about an attempt looks like."""
    text = io.StringIO()
    log = logging.Logger(name)  # noqa: LOG001 - nobody else has it
    log.addHandler(logging.StreamHandler(text))
    form(log)
    with log_ids(attempt="a1"):
        log.warning("the host says %s", "no")
    return text.getvalue().rstrip()


def test_a_line_is_json_or_ends_with_what_it_is_about() -> None:
    line = json.loads(written(as_json, "lockstep.worker"))
    assert {name: line[name] for name in ("event", "level", "logger", "attempt")} == {
        "event": "the host says no",
        "level": "warning",
        "logger": "lockstep.worker",
        "attempt": "a1",
    }
    assert written(as_text, "lockstep.worker") == "the host says no [attempt=a1]"
    assert written(as_text, "another") == "the host says no", "other people's are as they were"


def test_ids_are_those_of_the_blocks_that_a_step_is_in() -> None:
    def told() -> tuple[str, Any]:
        line = json.loads(written(as_json, "lockstep.worker"))
        return written(as_text, "lockstep.worker").partition(" [")[2], line.get("host")

    with log_ids(operation="o1", group="g"), log_ids(host="node1"):
        assert told() == ("operation=o1 group=g host=node1 attempt=a1]", "node1")
        with log_ids(host="node2"):
            assert told() == ("operation=o1 group=g host=node2 attempt=a1]", "node2")
        assert told() == ("operation=o1 group=g host=node1 attempt=a1]", "node1")
    assert told() == ("attempt=a1]", None)


def test_steps_by_turns_have_ids_of_their_own() -> None:
    found, waits = dict[str, str](), dict[str, Handover[None]]()

    def step(host: str) -> None:
        with log_ids(host=host):
            waits[host] = Handover()
            if len(waits) == 2:
                for each in waits.values():
                    each.bring(None)
            waits[host].wait()
            found[host] = written(as_text, "lockstep.worker")

    side_by_side(["node1", "node2"], step, lambda: True, threading.Semaphore(2))
    assert found == {host: f"the host says no [host={host} attempt=a1]" for host in ("node1", "node2")}


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_workers_logs_have_the_form_that_is_set_and_name_the_remedy(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("LOCKSTEP_LOG_FORMAT", form)
    text, log = io.StringIO(), logging.Logger("lockstep.worker")  # noqa: LOG001 - nobody else has it
    log.addHandler(logging.StreamHandler(text))
    signals.after_setup_logger.send(None, logger=log)
    log.warning("it is gone")
    assert text.getvalue().startswith("{") is (form == "json")
    assert "LOCKSTEP_REDIS" in (
        _explain(AuthenticationError("WRONGPASS invalid username-password pair")) or ""
    )
    assert _explain(ValueError("of ours")) is None


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (StopOrdered(), Reject),
        (StoreUnavailable("gone"), Reject),
        (UnknownFormat("format 9"), MessageLeftToNewer),
        (RecordDamaged("no step"), Ignore),
    ],
)
def test_what_keeps_a_task_from_its_work_says_what_becomes_of_its_message(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, becomes: type[Exception]
) -> None:
    monkeypatch.setattr(run, "runtime_of", lambda _: None)
    monkeypatch.setattr(run, "rest", lambda seconds: None)

    def work(_: object) -> str:
        raise raised

    with pytest.raises(becomes) as found:
        run.guarded(SimpleNamespace(name="lockstep.settle", app=None), work)  # type: ignore[arg-type]
    assert getattr(found.value, "requeue", True)


def test_json_has_the_time_in_utc_and_letters_as_they_are() -> None:
    text, log = io.StringIO(), logging.Logger("lockstep.worker")  # noqa: LOG001 - nobody else has it
    log.addHandler(logging.StreamHandler(text))
    as_json(log)
    log.warning("Grüße")
    assert '"event": "Grüße"' in text.getvalue()
    assert json.loads(text.getvalue())["timestamp"].endswith("Z")


def test_a_line_of_celery_about_a_task_names_it() -> None:
    record = logging.makeLogRecord({"data": {"id": "x", "name": "lockstep.sweep"}})
    assert bind_task(None, "", {"_record": record}) == {
        "_record": record,
        "task": "lockstep.sweep",
        "task_id": "x",
    }


def test_each_handler_has_one_bound_on_what_is_said_over_and_over() -> None:
    log = logging.Logger("lockstep.worker")  # noqa: LOG001 - nobody else has it
    for _ in range(2):
        log.addHandler(logging.StreamHandler())
        limit_repeats(log, lambda _: None)
    assert [[type(each) for each in handler.filters] for handler in log.handlers] == [[RepeatLimit]] * 2
