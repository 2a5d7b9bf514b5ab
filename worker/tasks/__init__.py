"""Thin Celery shells around the steps, in the order of an operation's life, and the sweep."""

from lockstep.worker.tasks import signals, sweep, tasks

__all__ = ["signals", "sweep", "tasks"]
