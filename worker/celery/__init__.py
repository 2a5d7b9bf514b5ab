"""The Celery application, for `celery -A lockstep worker -Q operations` (or rollback) and `… beat`."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery, Task
from celery import concurrency as pools
from celery.loaders.app import AppLoader
from kombu import Exchange, Queue
from kombu.utils.imports import symbol_by_name

from lockstep.extras import complaint
from lockstep.worker.connection import sentinel_options, socket_options, tls_options
from lockstep.worker.connection.primary import MOST
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import headers_for
from lockstep.worker.process.secrets import print_masked
from lockstep.worker.settings import Settings, load_settings

logger = logging.getLogger(__name__)
PUBLISHING = 20
"""Connections for those who publish. Flower asks workers nine things at once, and each question holds one
connection while it waits for a second: with fewer than ten, all would wait for each other for ever."""
FOREIGN = ("CELERY_", "DJANGO_SETTINGS_MODULE")
"""How variables begin that Celery reads by itself, and that are about another application."""
BREAKING = ("C_BENCH", "CELERY_BENCH")
"""Celery reads these before the application is asked for, and its task counts fail with them."""
EXTRA_OF = {"worker": "worker", "beat": "worker", "flower": "flower"}
"""The extra that a command of Celery needs: the client and the `lockstep` command need none."""
OPERATIONS = "operations"
ROLLBACK = "rollback"
QUEUES = (OPERATIONS, ROLLBACK)
"""Undoing, deciding, settling and the sweep have a queue and workers of their own: they never wait behind
forward steps that hang on slow hosts."""


class TaskName:
    """What messages call the tasks; no enumeration, for Celery takes whatever has a `name` for a task."""

    CREATE_GROUP = "lockstep.create_group"
    DELETE_GROUP = "lockstep.delete_group"
    CONCLUDE = "lockstep.conclude"
    GATE = "lockstep.gate"
    ROLLBACK_CREATE = "lockstep.rollback_create"
    ROLLBACK_DELETE = "lockstep.rollback_delete"
    SETTLE = "lockstep.settle"
    SWEEP = "lockstep.sweep"
    PATROL = "lockstep.patrol"
    PATROL_GROUP = "lockstep.patrol_group"


ABOUT = "lockstep_about"
"""The remote control command that asks workers for their versions."""
WAIT = "wait"
"""The header that says for how many seconds a message is to wait, by its receiver's clock."""
WAVE = "wave"
"""The header that says which wave or which round of the gate a message belongs to: `wave 2`, `round 1`."""
QUEUE_OF = {
    **dict.fromkeys((TaskName.CREATE_GROUP, TaskName.DELETE_GROUP, TaskName.GATE), OPERATIONS),
    **dict.fromkeys((TaskName.CONCLUDE, TaskName.ROLLBACK_CREATE, TaskName.ROLLBACK_DELETE), ROLLBACK),
    **dict.fromkeys((TaskName.SETTLE, TaskName.SWEEP, TaskName.PATROL, TaskName.PATROL_GROUP), ROLLBACK),
}


class LockstepTask(Task):  # type: ignore[type-arg]
    """Every task of an operation bears its root id, and arguments that read well in Flower, also on retry."""

    max_retries = None
    """For ever: the record counts the tries. To `retry` itself, None would mean Celery's default of three."""
    Request = "lockstep.worker.tasks.received:PatientRequest"  # by name, for producers never import it

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """Send the task, with `argsrepr` and `root_id` taken from its arguments.

        The one place that makes a delay: a `countdown` of seconds, which its receiver counts from when it has
        the message. The `eta` that Celery makes of it, by our clock, is for workers of an earlier release.
        """
        own = {**(options.get("headers") or {}), WAIT: options.get("countdown") or 0}
        if (at := self.request.get(WAVE)) and options.get("task_id") == self.request.id:
            own[WAVE] = at  # it is retried
        if args and len(args) > 1:
            options = {**options, **headers_for(tuple(args), own.get(WAVE, ""))}
        options["headers"] = own
        return super().apply_async(args, kwargs, **options)


class NoFile(AppLoader):
    """Reads no configuration, neither a file of some application nor one that a variable names."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        return {}


class Lockstep(Celery):
    """A Celery application that knows its settings, and lets no variable of Celery's own win over them."""

    settings: Settings
    clocks: dict[str, int]
    """What this worker was told of the clocks of others: process -> the milliseconds that it is ahead."""
    events_cls = "lockstep.worker.celery.broker.links:CeleryEvents"
    control_cls = "lockstep.worker.celery.broker.control:Control"
    amqp_cls = "lockstep.worker.celery.broker.control:Amqp"

    def _connection(self, url: Any, *args: Any, **options: Any) -> Any:
        kind = "lockstep-sentinel" if self.settings.address.master else "lockstep-redis"
        options = {**options, "transport": kind}
        return super()._connection(self.settings.address.celery_url, *args, **options)  # type: ignore[misc]

    def _get_backend(self) -> Any:
        kind = "SentinelBackend" if self.settings.address.master else "Backend"
        made = symbol_by_name(f"lockstep.worker.celery.broker.links:{kind}")
        return made(app=self, url=self.settings.address.celery_url)


def make_app(settings: Settings) -> Lockstep:
    """Return a configured application; nothing is connected."""
    app = Lockstep(
        "lockstep",
        task_cls=LockstepTask,
        include=["lockstep.worker.tasks"],
        set_as_current=False,
        loader=NoFile,
        fixups=[],  # Celery's one is for Django, whose settings are another application's
    )
    app.settings = settings
    app.clocks = {}
    app.conf.update(configuration(settings))
    return app


def pool_of(arguments: Sequence[str]) -> str:
    """Return the pool for workers: threads, for their work is waiting for hosts, unless prefork is asked for.

    Celery takes `-P prefork` for its default, and thus for nothing said: it would use the configured pool.
    """
    asked = " ".join(arguments).replace("=", " ")
    return "prefork" if re.search(r" (-P ?|--pool )prefork\b", asked) else "threads"


def configuration(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings, each with its reason."""
    watched: dict[str, Any] = {}
    if master := settings.address.master:
        watched = {"master_name": master, "sentinel_kwargs": sentinel_options(settings)}
    return {
        "broker_url": settings.address.celery_url,
        "result_backend": settings.address.celery_url,
        "broker_use_ssl": tls_options(settings) or None,
        "redis_backend_use_ssl": tls_options(settings) or None,
        # JSON only: a pickle message could run code.
        "accept_content": ["json"],
        # A message leaves the queue when its step is done, not when it starts; a killed child's goes back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,  # otherwise a failure is run again, and fails its chord
        # One message per slot: a longer private backlog would wait while other workers are idle.
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.concurrency,
        "worker_pool": pool_of(sys.argv),
        # It would drop a header whose result is stored but whose chord part is not counted.
        "worker_deduplicate_successful_tasks": False,
        # Steps survive a lost broker connection by their record; cancelling them would only add ambiguity.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,  # not with Redis: it would only say so, each time
        "worker_enable_remote_control": True,  # its connection is what notices a lost broker
        "worker_hijack_root_logger": True,  # one format for all that a worker writes
        "worker_send_task_events": True,  # Flower
        "worker_consumer": "lockstep.worker.tasks.received:Consumer",
        "task_send_sent_event": True,  # Flower shows what waits in the queue
        "task_track_started": False,  # a write per task that nothing reads
        # Workers wait for Redis for ever, at start and in operation.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_connection_timeout": settings.redis_connect_timeout,
        "broker_transport_options": {
            **socket_options(settings),
            **watched,
            # Above the longest task + the 21 s that dispatching a chord may take + the longest countdown.
            "visibility_timeout": settings.visibility_timeout,
            # Look for unacknowledged messages every few seconds; the defaults take 100 s.
            "unacked_restore_interval": settings.restore_every,
            "unacked_restore_throttle": 1,
            # None: what waits for a worker's answer (doctor, Flower) looks too, by its own clock. Our
            # transport, which workers have, does not ask: it gives all back, by Redis' clock.
            "unacked_restore_limit": 0,
            "unacked_mutex_expire": 30,  # a worker killed while restoring blocks others no longer than this
            "global_keyprefix": f"{settings.key_prefix}celery:",  # own keys: the shortest timeout wins
            "sep": ":",  # KEDA can read such list names
        },
        "result_backend_transport_options": {
            **watched,
            "global_keyprefix": f"{settings.key_prefix}celery:",
            # By default 20 s, while a sweep or a producer waits; the next sweep makes up for it.
            "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        },
        "redis_max_connections": MOST,
        "broker_pool_limit": PUBLISHING,
        "redis_socket_timeout": settings.redis_timeout,
        "redis_socket_connect_timeout": settings.redis_connect_timeout,
        "redis_socket_keepalive": True,
        "redis_retry_on_timeout": True,
        "redis_backend_health_check_interval": 15,
        # A header that ends while Redis is away must not be counted as failed.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_expires": settings.result_expires,
        "result_chord_expires": settings.result_expires,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3},
        # A stopped prefork child requeues what it runs; the threads pool lets it finish (see docs/design.md).
        "worker_soft_shutdown_timeout": 3.0,
        "worker_enable_soft_shutdown_on_idle": True,
        # Of the exchange without a name: what is sent to a queue needs no table that says where it goes.
        "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in QUEUES],
        "task_default_queue": OPERATIONS,
        "task_create_missing_queues": False,  # a misspelled -Q is an error
        "task_routes": {name: {"queue": queue} for name, queue in QUEUE_OF.items()},
        # Without `expires`, a time by beat's clock: of a backlog the sweep's lease lets one run.
        "beat_schedule": {
            name: {"task": task, "schedule": every, "options": {"ignore_result": True}}
            for name, task, every in (
                ("sweep", TaskName.SWEEP, settings.sweep_every),
                ("patrol", TaskName.PATROL, settings.patrol_every),
            )
        },
        "beat_scheduler": "lockstep.worker.celery.broker.pools:Scheduler",
        "beat_max_loop_interval": settings.sweep_every,
    }


def __getattr__(name: str) -> Lockstep:
    """Build `app` when `celery -A lockstep` asks for it, so that importing reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    sys.excepthook = print_masked
    command = next((word for word in sys.argv[1:] if word in EXTRA_OF), None)
    if command and (lacks := complaint(EXTRA_OF[command], f"celery -A lockstep {command}")):
        raise SystemExit(f"lockstep: error: {lacks}")
    try:
        app = make_app(load_settings())
        _drop_foreign_variables()
    except InvalidInput as error:  # Celery would print where it was raised
        raise SystemExit(f"lockstep: error: {error}") from None
    pools.ALIASES["threads"] = "lockstep.worker.tasks.received:Threads"
    pools.ALIASES["prefork"] = pools.ALIASES["processes"] = "lockstep.worker.celery.broker.pools:Processes"
    globals()["app"] = app
    return app


def _drop_foreign_variables() -> None:
    """Let no variable of Celery's count in this process: another application's may be in its environment.

    Celery's command asks for the application before it reads the options of `worker` and `beat`, each of
    which may be a CELERY_ variable; its command line counts.
    """
    broken = [name for name in BREAKING if os.environ.get(name)]
    if broken:
        raise InvalidInput(f"{broken[0]} is set, with which Celery 5.7 stops taking tasks: unset it")
    dropped = [name for name in sorted(os.environ) if name.startswith(FOREIGN)]
    for name in dropped:
        del os.environ[name]
    if dropped:
        logger.warning(
            "not used: %s; LOCKSTEP_ variables and the command line say what counts", ", ".join(dropped)
        )
