"""The application, where `celery -A lockstep` looks for it."""

from lockstep.worker.celery import app

__all__ = ["app"]
