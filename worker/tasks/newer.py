"""Messages about records that a newer version wrote: left unacknowledged, for a worker of that version."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]
from celery.exceptions import Ignore
from celery.utils.log import get_task_logger
from celery.worker.state import task_ready
from kombu.transport.virtual import QoS

from lockstep.worker.tasks.received import Received

logger = get_task_logger(__name__)


class LeftToNewer(Ignore):
    """This worker has done nothing with the message, and says nothing to the broker about it."""


class PatientRequest(Received):
    """A request whose message can be left: to the broker it looks as if its worker had died.

    After the visibility timeout any worker gets it again. A retry would acknowledge it and send another, lost
    if the worker dies in between; rejected, it would come straight back, and back again.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Leave the message alone if the task said so; otherwise do what Celery does."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):  # from a child process
            error = error.exc
        if not isinstance(error, LeftToNewer):
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        logger.warning("%s[%s] is left to a newer worker: %s", self.name, self.id, error)
        task_ready(self)
        self.acknowledged = True  # for Celery, which would have it back in the queue when it stops
        self.send_event("task-rejected", requeue=True)
        # Frees the place that the message takes of the worker's prefetch; Redis is told nothing.
        channel = self.message.channel
        QoS.ack(channel.qos, self.message.delivery_tag)
        return None
