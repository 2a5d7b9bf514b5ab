"""What is watched of a worker process; connected here, for producers never import the tasks."""

from __future__ import annotations

from typing import Any, cast

from celery.signals import beat_init, celeryd_init

from worker.celery import Lockstep
from worker.telemetry import heartbeat


@celeryd_init.connect
def _watch(instance: Any, **_: Any) -> None:
    app = cast(Lockstep, instance.app)
    heartbeat.install(app, app.settings.heartbeat_dir)


@beat_init.connect
def _be_silent(sender: Any, **_: Any) -> None:
    """Beat sends a sweep every 2 s: in Flower they would push out everything else within hours."""
    sender.app.conf.task_send_sent_event = False
