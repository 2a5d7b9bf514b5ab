"""A task of your own Celery application, with your own broker, that enqueues an operation: APP/tasks.py."""

from typing import Any

from celery import shared_task

from lockstep import ClusterClient, StoreUnavailable


@shared_task(bind=True, acks_late=True, autoretry_for=(StoreUnavailable,), retry_backoff=True)
def create_team(self: Any, team: str) -> str:
    """Enqueue, and return the operation's id. Do not wait here: that would keep a worker of yours busy.

    The task's id is the operation's: delivered twice, or tried again, it asks for the same operation.
    """
    with ClusterClient(created_by="celery") as cluster:
        return cluster.create_group(team, operation_id=self.request.id).id
