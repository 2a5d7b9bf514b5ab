"""Celery's events, of which those of a task that is retried are not kept back."""

from __future__ import annotations

from typing import Any

from celery.app import events as untyped_app
from celery.events import dispatcher as untyped

from lockstep.worker.secrets import masked

TOLD = ("args", "kwargs", "result", "exception", "traceback", "reason")
"""Fields of an event that are texts: a secret that got into one is masked."""
app_events: Any = untyped_app
celery: Any = untyped


class Dispatcher(celery.EventDispatcher):  # type: ignore[misc]
    """Sends at once what a task's next try, which may be another worker's, must not overtake.

    Flower believes the last event: a late one would show an older try, or a task that still waits.
    """

    def send(self, type: str, *arguments: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's own name
        """Send an event, or gather it; that of a retry is sent with all that was gathered."""
        told = {name: masked(fields[name]) for name in TOLD if name in fields}
        sent = super().send(type, *arguments, **{**fields, **told})
        if type == "task-retried" or fields.get("retries"):
            self.flush(errors=False)
        return sent


class Events(app_events.Events):  # type: ignore[misc]
    """What `app.events` is."""

    dispatcher_cls = "lockstep.worker.broker.events:Dispatcher"
