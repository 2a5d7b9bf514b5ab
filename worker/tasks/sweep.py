"""The sweep: resumes every operation that stands still."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from celery import Celery, Task, shared_task
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError

from lockstep.worker.celery import QUEUES, TaskName
from lockstep.worker.celery.messages import publish_next
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.metrics import work
from lockstep.worker.operation.errors import RecordDamaged, StoreFull, StoreUnavailable, UnknownFormat
from lockstep.worker.record.queries import UNREADABLE
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.run import runtime_here
from lockstep.worker.tasks.runtime import Runtime

PUT_OFF = 60_000
"""Milliseconds until a record that cannot be read is looked at again."""
logger = get_task_logger(__name__)
FORGOTTEN_AT_ONCE = 100
"""Records dropped per sweep, so that a sweep stays short."""
MS_PER_DAY = 86_400_000

DONE_FOR = 3
"""Periods for which it is known that a periodic piece of work was done."""
PASSING = (StoreUnavailable, StoreFull, RecordDamaged, OperationalError, OSError)
"""What may keep periodic work from being done and passes; of anything else its task fails, too."""


def periodic(
    runtime: Runtime, name: str, every: float, lease: int, run: Callable[[], str], rest: int | None = None
) -> str:
    """Run a periodic piece of work under a lease of `lease` ms, unless another worker has it.

    Whatever keeps it from being done is logged, counted and kept in the record. `every` is its period in
    seconds. `run` says why it was put off by raising. Once all that is noted, the lease lasts for `rest` ms
    more.
    """
    try:
        if not runtime.store.lease(name, lease):
            return f"another {name} is at it"
    except (StoreUnavailable, StoreFull) as error:
        metrics.count("not_done", name)
        return f"put off: {error}"
    try:
        with work.going_on(f"the {name}"):
            said = run()
        runtime.store.note_done(name, round(DONE_FOR * every * 1000))
    except Exception as error:
        passing = isinstance(error, PASSING)
        why = " ".join((str(error) if passing else repr(error)).split())
        not_done(runtime, name, why)
        if not passing:
            raise
        return f"put off: {why}"
    finally:
        if rest is not None:
            with suppress(StoreUnavailable):
                runtime.store.keep_lease(name, rest)
    return said


def not_done(runtime: Runtime, name: str, why: str) -> None:
    """Log, count and keep in the record why periodic work was not done, until the next is."""
    logger.error("the %s was not done: %s", name, why)
    metrics.count("not_done", name)
    with suppress(StoreUnavailable, StoreFull, RecordDamaged):
        runtime.store.note_failed(name, why)


@shared_task(bind=True, name=TaskName.SWEEP, send_events=False)
def sweep(self: Task[..., str]) -> str:
    """Publish what due operations need next; never speaks HTTP. Two at a time do no harm, but need not be."""
    runtime = runtime_here(self)
    store, every, lease = runtime.store, runtime.settings.sweep_every, held(runtime.settings)

    def run() -> str:
        said = _sweep(self.app, runtime, lambda: store.keep_lease("sweep", lease))
        metrics.count("sweeps")
        return said

    return periodic(runtime, "sweep", every, lease, run, round(every * 1000) // 2)


def held(settings: Settings) -> int:
    """Return the milliseconds for which a sweep keeps others off, from each operation that it resumes.

    While Redis is slow, sweeps would pile up, and together take every thread, so it is longer than one call
    to Redis may take. A sweep that is killed keeps others off no longer than that.
    """
    return round(1000 * max(2 * settings.sweep_every, settings.redis_timeout + settings.sweep_every / 2))


def _sweep(app: Celery, runtime: Runtime, go_on: Callable[[], None]) -> str:
    settings, store = runtime.settings, runtime.store
    store.forget(round(settings.retention_days * MS_PER_DAY), settings.retention_count, FORGOTTEN_AT_ONCE)
    if max(map(store.queue_length, QUEUES)) > settings.sweep_queue_limit:
        metrics.count("sweeps_put_off")
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
                metrics.operation_seen(ended, store.first)
        except UnknownFormat:
            continue  # a newer worker's record: left as it is
        except UNREADABLE as error:
            store.put_last(operation, error, PUT_OFF)
    return f"resumed {resumed}"
