"""What is watched of a worker process; connected here, for producers never import the tasks."""

from __future__ import annotations

from typing import Any, cast

from celery.signals import beat_init, celeryd_init, worker_shutdown

from worker.celery import Lockstep
from worker.tasks.standing import Reader
from worker.telemetry import heartbeat, metrics


@celeryd_init.connect
def _watch(instance: Any, **_: Any) -> None:
    app = cast(Lockstep, instance.app)
    settings = app.settings
    heartbeat.install(app, settings.heartbeat_dir)
    if settings.metrics_port is not None:
        counts = metrics.Metrics()
        metrics.count_with(counts)
        stop = counts.serve(settings.metrics_port, Reader(settings).read)
        worker_shutdown.connect(lambda **_: stop(), weak=False)


@beat_init.connect
def _be_silent(sender: Any, **_: Any) -> None:
    """Beat sends a sweep every 2 s: in Flower they would push out everything else within hours."""
    sender.app.conf.task_send_sent_event = False
