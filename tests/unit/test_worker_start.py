"""What a worker process sets up before it takes its first message."""

from __future__ import annotations

import gc
import logging
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
from celery import signals
from celery.utils.dispatch import Signal

from lockstep.worker import tasks as worker
from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.hosts import curl
from lockstep.worker.monitoring import heartbeat, logs
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.record.reports import Clocks
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.runtime import build_runtime

HOSTS = "http://node1:1,http://node2:1"


def app_with(**settings: object) -> Lockstep:
    return make_app(Settings(hosts=HOSTS, **settings))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What tells Prometheus; nothing else of the process is set up."""
    for name in ("provide_files", "broker", "heartbeat", "tracing", "metrics", "FiguresReader"):
        monkeypatch.setattr(worker, name, Mock())
    ended = Signal()
    for name, each in (
        ("worker_process_init", Signal()),
        ("task_rejected", Signal()),
        ("worker_shutdown", ended),
    ):
        monkeypatch.setattr(worker, name, each)
    monkeypatch.setattr(worker, "tracing", Mock(tracers=lambda _: None))
    monkeypatch.setattr(logs, "tells_something", lambda _: True)
    monkeypatch.setattr(logging.getLogger("kombu.connection"), "filters", [])
    monkeypatch.setattr(logging.getLogger("py.warnings"), "filters", [])
    monkeypatch.setattr(curl, "watches", [])
    made = Mock(ended=ended)
    monkeypatch.setattr(worker, "Metrics", made)
    return made


@pytest.mark.parametrize(("port", "form"), [(None, "text"), (9090, "json")])
def test_a_worker_serves_its_metrics_where_a_port_is_set_and_keeps_its_lines_json(
    served: Mock, port: int | None, form: str
) -> None:
    instance = SimpleNamespace(app=app_with(metrics_port=port, log_format=form), quiet=False)
    worker._watch("w@h", instance)
    assert instance.quiet == (form == "json")
    serve = served.return_value.serve
    assert [each.args[1] for each in serve.call_args_list] == ([port] if port else [])
    assert len(curl.watches) == serve.call_count
    served.ended.send(None)
    assert serve.return_value.call_count == serve.call_count, "it is served until the worker ends"


def test_a_worker_has_files_logs_and_its_heart_set_up(served: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer, theirs = Mock(), [logging.getLogger(name) for name in ("kombu.connection", "py.warnings")]
    monkeypatch.setattr(worker, "tracing", tracer)
    app = app_with(visibility_timeout=600, heartbeat_dir="/run/lockstep", metrics_port=9090)
    worker._watch("w@h", SimpleNamespace(app=app, quiet=False))
    least = app.settings.but(concurrency=1, slice_threads=1)
    set_up: Any = worker
    set_up.provide_files.assert_called_once_with(app.settings.open_files, least.open_files)
    set_up.broker.install.assert_called_once_with(app.settings.broker)
    assert [each.filters for each in theirs] == [[logs.tells_something]] * 2
    assert set_up.heartbeat.install.call_args.args[:3] == (app, "/run/lockstep", 600)
    tracer.instrument.assert_called_once_with(tracer.tracers("lockstep-worker"))
    assert curl.watches[0] is tracer.calls_of.return_value
    set_up.metrics.count_with.assert_called_once_with(served.return_value)


def test_a_worker_does_not_start_without_its_inventory(served: Mock) -> None:
    app = make_app(Settings(inventory="/nowhere/inventory.yaml"))
    with pytest.raises(SystemExit, match=r'^error: inventory "/nowhere/'):
        worker._watch("w@h", SimpleNamespace(app=app, quiet=False))


def test_each_process_of_a_pool_watches_itself(served: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, app, begins = Mock(), app_with(visibility_timeout=600), Signal()
    monkeypatch.setattr(worker, "watch_child", watch)
    monkeypatch.setattr(worker, "worker_process_init", begins)
    worker._watch("w@h", SimpleNamespace(app=app, quiet=False))
    gc.collect()  # a signal forgets who hears it, where nobody else holds that
    begins.send(None)
    assert watch.call_args.args[0] == 600


def test_a_message_that_is_rejected_is_counted(served: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected, metrics = Signal(), Mock()
    monkeypatch.setattr(worker, "task_rejected", rejected)
    monkeypatch.setattr(worker, "metrics", metrics)
    worker._watch("w@h", SimpleNamespace(app=app_with(metrics_port=9090), quiet=False))
    gc.collect()
    rejected.send(None)
    assert metrics.count.call_args_list == [call("messages_dropped")]
    (watched,) = curl.watches
    assert watched("node1", "GET") == ({}, metrics.call_carried)


def test_processes_report_their_clocks_and_a_worker_its_inventory_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, told = app_with(), Mock()
    monkeypatch.setattr(Clocks, "tell_for_ever", told)
    monkeypatch.setattr(heartbeat, "install_beat", Mock())
    signals.celeryd_after_setup.send("w@h", instance=Mock(app=app))
    assert told.call_args.args[0] == "w@h"
    signals.beat_init.send(Mock(app=app))
    assert told.call_args.args[0].startswith("beat@")


def test_a_process_tells_its_inventory_and_keeps_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    app, limits = app_with(), Mock()
    live = build_runtime(app.settings).inventory
    assert live is not None
    found = worker._inventory(app, limits)
    assert found is not None
    assert (found[0], found[1], found[3]) == (live.current().digest, 2, "")
    limits.keep.assert_called_once_with(live.current().limits())
    monkeypatch.setattr(worker, "runtime_of", lambda _: SimpleNamespace(inventory=None))
    assert worker._inventory(app, limits) is None
    monkeypatch.setattr(worker, "runtime_of", Mock(side_effect=InvalidInput("it cannot be read")))
    assert worker._inventory(app, limits) is None
    assert limits.keep.call_count == 1


def test_a_line_that_comes_again_and_again_is_told_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    limited, masked = Mock(), Mock()
    monkeypatch.setattr(logs, "limit_repeats", limited)
    monkeypatch.setattr(worker, "mask_logs", masked)
    log = logging.Logger("lockstep.worker")  # noqa: LOG001 - nobody else has it
    signals.after_setup_logger.send(None, logger=log)
    limited.assert_called_once_with(log, worker._explain)
    masked.assert_called_once_with(log)
