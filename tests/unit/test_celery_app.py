"""`celery -A lockstep`: the application that its command asks for, and what of the environment counts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import concurrency as untyped

from lockstep.worker import celery
from lockstep.worker.celery import Lockstep
from lockstep.worker.process.secrets import print_masked

pools: Any = untyped
TOLD = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_acks_on_failure_or_timeout": True,
    "worker_prefetch_multiplier": 1,
    "worker_deduplicate_successful_tasks": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_enable_prefetch_count_reduction": False,
    "worker_enable_remote_control": True,
    "worker_hijack_root_logger": True,
    "worker_send_task_events": True,
    "task_send_sent_event": True,
    "task_track_started": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "redis_socket_keepalive": True,
    "redis_retry_on_timeout": True,
    "redis_backend_health_check_interval": 15,
    "result_backend_always_retry": True,
    "result_backend_max_retries": 20,
    "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3},
    "worker_soft_shutdown_timeout": 3.0,
    "worker_enable_soft_shutdown_on_idle": True,
    "task_create_missing_queues": False,
    "worker_pool": "threads",
}
"""Nothing but a whole outage would show most of these: each is here as it was decided."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lockstep]]:
    """Ask as the command of Celery does."""
    before = vars(celery).get("app")
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "DJANGO_"))
    }
    monkeypatch.setattr(os, "environ", others)  # Celery's logging has left some, if workers ran here before
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(pools, "ALIASES", dict(pools.ALIASES))

    def ask(*arguments: str, **environment: str) -> Lockstep:
        os.environ.update({"LOCKSTEP_HOSTS": "http://node1", **environment})
        monkeypatch.setattr(sys, "argv", ["celery", *arguments])
        return celery.__getattr__("app")

    yield ask
    vars(celery).pop("app", None)
    if before is not None:
        vars(celery)["app"] = before


def test_variables_of_another_application_do_not_count(
    asked: Callable[..., Lockstep], caplog: pytest.LogCaptureFixture
) -> None:
    app = asked("worker", CELERY_BROKER_URL="redis://elsewhere", DJANGO_SETTINGS_MODULE="shop")
    assert [name for name in os.environ if name.startswith(("CELERY_", "DJANGO_"))] == []
    names = "CELERY_BROKER_URL, DJANGO_SETTINGS_MODULE"
    said = f"not used: {names}; LOCKSTEP_ variables and the command line say what counts"
    assert caplog.messages == [said]
    assert (vars(celery)["app"], sys.excepthook) == (app, print_masked)
    ours = {name: path for name, path in pools.ALIASES.items() if str(path).startswith("lockstep.")}
    processes = dict.fromkeys(("prefork", "processes"), "lockstep.worker.celery.broker.pools:Processes")
    assert ours == {"threads": "lockstep.worker.tasks.received:Threads", **processes}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CELERY_BENCH": "1"}, "CELERY_BENCH is set, with which Celery 5.7 stops taking tasks: unset it"),
        ({"LOCKSTEP_READ_TIMEOUT": "soon"}, "LOCKSTEP_READ_TIMEOUT"),
    ],
)
def test_a_wrong_environment_ends_it_in_one_line(
    asked: Callable[..., Lockstep], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(SystemExit, match=f"^lockstep: error: .*{words}") as ended:
        asked(**environment)
    assert "\n" not in str(ended.value)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        celery.__getattr__("nonsense")


def test_what_celery_is_told_about_delivery_and_lost_connections(asked: Callable[..., Lockstep]) -> None:
    conf = asked("worker").conf
    assert {name: conf[name] for name in TOLD} == TOLD
    transport = conf.broker_transport_options
    looks = {name: transport[name] for name in ("unacked_restore_limit", "unacked_mutex_expire")}
    assert looks == {"unacked_restore_limit": 0, "unacked_mutex_expire": 30}
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1}
    assert conf.result_backend_transport_options["retry_policy"] == policy
