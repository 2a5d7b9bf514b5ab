"""sweep: resume every operation that is due. The chord is the fast path; this is the guarantee."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import cast

from celery import Celery, Task, shared_task
from celery.utils.log import get_task_logger
from kombu import Connection
from kombu.exceptions import OperationalError

from lockstep.worker.celery import OPERATIONS, ROLLBACK, SWEEP
from lockstep.worker.operation.errors import StoreUnavailable, UnknownFormat
from lockstep.worker.settings import Settings
from lockstep.worker.store.queries import UNREADABLE
from lockstep.worker.tasks.runtime import Runtime, runtime_of
from lockstep.worker.tasks.shell import periodic
from lockstep.worker.telemetry import metrics
from lockstep.worker.telemetry.stalls import work
from lockstep.worker.workflow import publish_next

PUT_OFF = 60_000
"""Milliseconds until a record that cannot be read is looked at again."""
logger = get_task_logger(__name__)
FORGOTTEN_AT_ONCE = 100
"""Records dropped per sweep, so that a sweep stays short."""
MS_PER_DAY = 86_400_000


@shared_task(bind=True, name=SWEEP, send_events=False)
def sweep(self: Task[..., str]) -> str:
    """Publish what due operations need next; never speaks HTTP. Two at a time do no harm, but need not be."""
    runtime = runtime_of(self.app)
    store, every = runtime.store, runtime.settings.sweep_every
    period, lease = round(every * 1000), held(runtime.settings)

    def run() -> str:
        said = _sweep(self.app, runtime, lambda: store.keep_lease("sweep", lease))
        metrics.swept()
        return said

    try:
        if not store.lease("sweep", lease):
            return "another sweep is at it"
    except StoreUnavailable as error:
        metrics.failed("sweep")
        return f"put off: {error}"
    try:
        return periodic(runtime, "sweep", every, run)
    finally:
        with suppress(StoreUnavailable):
            store.keep_lease("sweep", period // 2)


def held(settings: Settings) -> int:
    """Return the milliseconds for which a sweep keeps others off, from each operation that it resumes.

    While Redis is slow, sweeps would pile up, and together take every thread, so it is longer than one call
    to Redis may take. A sweep that is killed keeps others off no longer than that.
    """
    return round(1000 * max(2 * settings.sweep_every, settings.redis_timeout + settings.sweep_every / 2))


def _sweep(app: Celery, runtime: Runtime, go_on: Callable[[], None]) -> str:
    settings, store = runtime.settings, runtime.store
    store.forget(round(settings.retention_days * MS_PER_DAY), settings.retention_count, FORGOTTEN_AT_ONCE)
    if longest_queue(app) > settings.sweep_queue_limit:
        return "put off: the queues are long, so messages are late, not lost"
    resumed = 0
    for operation in store.due(settings.sweep_batch):
        work.moves()
        go_on()
        try:
            store.operation(operation)  # what is damaged is left alone
            claim = publish_next(app, store, operation, resume=True)
            resumed += claim is not None and bool(claim.hosts)
            if claim is None and (ended := store.operation(operation)):
                metrics.operation_ended(ended, lambda key: store.first(key, "counted"))
        except UnknownFormat:
            continue  # a newer worker's record: left as it is
        except UNREADABLE as error:
            store.put_last(operation, error, PUT_OFF)
    return f"resumed {resumed}"


def longest_queue(app: Celery) -> int:
    """Return how many messages the longer of the two queues holds. Raises OperationalError."""
    with app.connection_for_read() as connection:
        try:
            return max(_length(connection, queue) for queue in (OPERATIONS, ROLLBACK))
        except connection.connection_errors as error:
            raise OperationalError(str(error)) from error


def _length(connection: Connection, queue: str) -> int:
    try:
        declared = connection.default_channel.queue_declare(  # type: ignore[attr-defined]
            queue=queue, passive=True
        )
    except connection.channel_errors:
        return 0  # an empty list does not exist
    return cast(int, declared.message_count)
