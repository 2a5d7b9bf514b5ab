"""The application, where `celery -A lockstep` looks for it."""

from __future__ import annotations

from lockstep.worker.celery import app

__all__ = ["app"]
