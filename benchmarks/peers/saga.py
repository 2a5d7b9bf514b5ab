# mypy: disallow-untyped-decorators=False
"""celery-saga: Celery with compensations. Each step rewrites one document: parallel ones lose updates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery_saga import (  # type: ignore[import-not-found]
    SagaCompensated,
    SagaFailed,
    StepResponse,
    parallelize,
    saga,
    saga_step,
    set_default_backend,
    step,
)
from celery_saga.backends import RedisSagaBackend  # type: ignore[import-not-found]

from benchmarks.peers import blocking
from benchmarks.peers.peer import PATIENCE, Command, Peer, Place, redis_url

CHILDREN = 8
LOOK_EVERY = 0.02

app = Celery("saga", broker=redis_url(), backend=redis_url())
app.set_default()
set_default_backend(RedisSagaBackend(url=redis_url()))


def workers(place: Place) -> tuple[Command]:
    """One worker with eight children."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.saga", "worker", "-c", str(CHILDREN)]
    return (Command("worker", [*command, "-l", "INFO"], place, " ready."),)


PEER = Peer(
    title=f"celery-saga, prefork {CHILDREN}",
    http="requests, bare",
    keeps="a document of its steps, of which parallel ones overwrite each other",
    workers=workers,
    may_be_wrong=True,
)


@app.task
def undo(compensation_data: dict[str, str]) -> None:
    """Delete the group from one host again."""
    blocking.undo(blocking.bare_or_session(), **compensation_data)


@saga_step(compensate="benchmarks.peers.saga.undo")
@app.task
def create(url: str, group: str) -> Any:
    """Create the group on one host."""
    if not blocking.create(blocking.bare_or_session(), url, group):
        raise RuntimeError(f"{url} refuses")
    return StepResponse(output={}, compensation_data={"url": url, "group": group})


class Producer:
    """Runs a saga of parallel steps."""

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Send it."""

        @saga(group)
        def everywhere(_: object) -> None:
            parallelize(*(step(create, {"url": host, "group": group}) for host in hosts))

        return everywhere.run()

    def finish(self, job: Any) -> bool:
        """Wait for its end."""
        try:
            job.get(timeout=PATIENCE, interval=LOOK_EVERY)
        except (SagaCompensated, SagaFailed):
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        app.close()


def open_producer() -> Producer:
    """Use the application of this module."""
    return Producer()
