"""Thin Celery shells around the steps, one file each, in the order of an operation's life."""

from lockstep.worker.tasks import about, conclude, forward, patrol, rollback, settle, sweep, watching

__all__ = ["about", "conclude", "forward", "patrol", "rollback", "settle", "sweep", "watching"]
