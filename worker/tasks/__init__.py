"""Thin Celery shells around the steps, in the order of an operation's life, and the sweep.

What is watched of a worker process is connected here, and what it answers when it is asked about itself:
producers never import the tasks.
"""

from __future__ import annotations

import logging
import platform
import re
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from socket import gethostname
from typing import Any, cast

from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    beat_init,
    celeryd_after_setup,
    celeryd_init,
    task_rejected,
    worker_process_init,
    worker_shutdown,
)
from celery.worker.control import control_command, inspect_command

from lockstep.worker.celery import ABOUT, Lockstep, broker
from lockstep.worker.connection import impatient
from lockstep.worker.hosts import curl
from lockstep.worker.inventory.live import load_inventory
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.monitoring import heartbeat, logs, metrics, tracing
from lockstep.worker.monitoring.endpoint import Metrics
from lockstep.worker.monitoring.flower import CLOCK
from lockstep.worker.monitoring.heartbeat import watch_child
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import mask_logs
from lockstep.worker.record.causes import cause_of
from lockstep.worker.record.link import Link
from lockstep.worker.record.queries import WriteLimits
from lockstep.worker.settings import Settings, load_settings
from lockstep.worker.tasks import tasks
from lockstep.worker.tasks.figures import FiguresReader
from lockstep.worker.tasks.runtime import runtime_of

__all__ = ["tasks"]
BEAT_STUCK = 120.0
"""Seconds for which beat, awake, may get no further. It waits 30 s between tries to reach Redis."""
FLOWER = re.compile(r"flower@[A-Za-z0-9._-]{1,128}")
MOST_CLOCKS, MOST_AHEAD = 10, 10**13
"""Bounds on the clocks, and their milliseconds, that a worker keeps: anybody who may ask it can send some."""


@inspect_command(name=ABOUT)
def about(state: Any) -> dict[str, object]:
    """Return the versions of what runs here, and the ids of its seal keys."""
    return {
        "lockstep": version("lockstep"),
        "celery": version("celery"),
        "python": platform.python_version(),
        "seals": SealKeys(state.app.settings.seal_key_file).told(),
        "now": round(time.time() * 1000),  # for a doctor of an earlier release
    }


@control_command(name=CLOCK)
def clock(state: Any, process: object = None, ahead: object = None, **_: object) -> None:
    """Note that the clock of a Flower is wrong: what it logs in to Redis with may write nothing."""
    clocks: dict[str, int] = state.app.clocks
    match process, ahead:
        case str(name), int(by) if FLOWER.fullmatch(name) and abs(by) < MOST_AHEAD:
            if len(clocks) < MOST_CLOCKS:
                clocks[name] = by


@celeryd_init.connect
def _watch(sender: str, instance: Any, **_: Any) -> None:
    app = cast(Lockstep, instance.app)
    settings = app.settings
    provide_files(settings.open_files, settings.but(concurrency=1, slice_threads=1).open_files)
    broker.install(settings.broker)
    for theirs in ("kombu.connection", "py.warnings"):
        logging.getLogger(theirs).addFilter(logs.tells_something)
    tell = _stall_of(sender, settings)
    quiet = settings.visibility_timeout  # after which its messages are another worker's in any case
    try:
        heartbeat.install(app, settings.heartbeat_dir, quiet, tell)
        load_inventory(settings)  # without it each step fails, and each sweep
    except (InvalidInput, OSError) as error:
        raise SystemExit(f"error: {error}") from None  # Celery logs any other exception, and goes on
    worker_process_init.connect(lambda **_: watch_child(quiet, tell), weak=False)
    if settings.log_format == "json":
        instance.quiet = True  # its banner is no JSON
    if (own := tracing.tracers("lockstep-worker")) is not None:
        tracing.instrument(own)
        curl.watches.append(tracing.calls_of(own))
    if settings.metrics_port is not None:
        counts = Metrics()
        metrics.count_with(counts)
        curl.watches.append(lambda *_: ({}, metrics.call_carried))
        stop = counts.serve(settings.metrics_address, settings.metrics_port, FiguresReader(settings).read)
        # By us alone: Celery's own ways there are replaced.
        task_rejected.connect(lambda **_: metrics.count("messages_dropped"), weak=False)
        worker_shutdown.connect(lambda **_: stop(), weak=False)


def _stall_of(process: str, settings: Settings) -> Callable[[str], None]:
    return lambda why: Link(impatient(settings, 1.0)).stalls.note(process, why)


@celeryd_after_setup.connect
def _tell_clock(sender: str, instance: Any, **_: Any) -> None:
    """Begin only now: before, what this thread logs would have Celery's format, and its secrets."""
    app = cast(Lockstep, instance.app)
    link = Link(app.settings)
    link.clocks.heard = app.clocks
    link.clocks.tell_for_ever(sender, lambda: _inventory(app, link.limits))


def provide_files(needed: int, least: int) -> None:
    """Raise this process's limit of open files as far as it may, if it may need more. Raises SystemExit where
    that is not enough; `least` is what the smallest worker needs.

    A worker that comes to its limit in the middle of its work stands still, sweep and rollback included.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        raise SystemExit(
            f"lockstep: error: this worker may need {needed} open files, and {most} are allowed (ulimit -n): "
            "raise that limit"
            + (", or lower LOCKSTEP_CONCURRENCY or LOCKSTEP_SLICE_THREADS" if most >= least else "")
        )
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except ValueError:  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def _inventory(app: Lockstep, limits: WriteLimits) -> tuple[str, int, float, str] | None:
    """Tell which inventory this process has, and keep its limits for all if they are new here.

    In a pool of processes each child reads the same file itself.
    """
    try:
        live = runtime_of(app).inventory
    except InvalidInput:
        return None  # each task says what is wrong with it
    if live is None:
        return None
    now = live.current()
    limits.keep(now.limits())
    return now.digest, len(now), live.age, live.fault


@beat_init.connect
def _begin_beat(sender: Any, **_: Any) -> None:
    """Beat sends a sweep every 2 s: in Flower they would push out everything else within hours."""
    app, name = cast(Lockstep, sender.app), f"beat@{gethostname()}"
    settings = app.settings
    app.conf.task_send_sent_event = False
    stuck, tell = BEAT_STUCK + settings.sweep_every, _stall_of(name, settings)
    try:
        heartbeat.install_beat(sender.scheduler, settings.heartbeat_dir, stuck, tell)
    except (InvalidInput, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    Link(settings).clocks.tell_for_ever(name)


def _explain(error: BaseException) -> str | None:
    cause = cause_of(error)
    return f"{cause.what}; {cause.remedy}" if cause else None


@after_setup_logger.connect
@after_setup_task_logger.connect
def _format(logger: logging.Logger, **_: Any) -> None:
    # Celery does not say for which application; a process has one, and its settings are in the environment.
    write = {"json": logs.as_json, "text": logs.as_text}[load_settings().log_format]
    write(logger)
    logs.limit_repeats(logger, _explain)
    mask_logs(logger)
