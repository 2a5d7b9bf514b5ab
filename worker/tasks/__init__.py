"""Thin Celery shells around the steps, one file each, in the order of an operation's life."""

from worker.tasks import conclude, forward, patrol, rollback, settle, sweep, watching

__all__ = ["conclude", "forward", "patrol", "rollback", "settle", "sweep", "watching"]
