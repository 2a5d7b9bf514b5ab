"""The sweep: resumes every operation that stands still, and counts how Lockstep stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, Task, shared_task
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError

from lockstep.worker.celery import OPERATIONS, ROLLBACK, TaskName
from lockstep.worker.messages import hosts_per_task, publish_next
from lockstep.worker.monitoring import metrics
from lockstep.worker.monitoring.endpoint import Figures
from lockstep.worker.monitoring.metrics import work
from lockstep.worker.operation.errors import RecordDamaged, StoreFull, StoreUnavailable, UnknownFormat
from lockstep.worker.operation.model import Decision, OperationId, Stage
from lockstep.worker.record.codec import operation_from
from lockstep.worker.record.link import Link
from lockstep.worker.record.queries import UNREADABLE
from lockstep.worker.redis_client import impatient
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.runtime import Runtime, runtime_of

LOOKED_AT = 500
"""Operations whose hosts are counted, the longest overdue first, so that a look stays cheap."""
QUEUES = (OPERATIONS, ROLLBACK)


class FiguresReader(Link):
    """Reads how things stand, on connections of its own that give up soon."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(impatient(settings, 1.0))

    def read(self) -> Figures:
        keys = self.keys
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zcard(keys.due)
            pipe.zrange(keys.due, 0, LOOKED_AT - 1, withscores=True)
            pipe.hlen(keys.drift)
            pipe.hlen(keys.paused)
            pipe.hlen(keys.failing)
            for queue in QUEUES:
                pipe.llen(keys.queue(queue))
            (seconds, micros), in_flight, due, drift, paused, failing, *lengths = pipe.execute()
        now = seconds * 1000 + micros // 1000
        overdue, lag = self.store.patrol_overdue()
        turns = self.limits.turns()
        return {
            **self._hosts([OperationId(name) for name, _ in due], now, in_flight),
            "operations_in_flight": in_flight,
            "drift": drift,
            "paused_hosts": paused,
            "failing": failing,
            "spared_hosts": len(self.silences.all()),
            "sweep_lag_seconds": max(0.0, (now - due[0][1]) / 1000) if due else 0.0,
            "patrol_overdue": overdue,
            "patrol_lag_seconds": lag / 1000,
            "clock_ahead_seconds": {name: ahead / 1000 for name, ahead in self.clocks.all().items()},
            "writes_in_line": {each.host: each.waiting for each in turns},
            "write_places_taken": {each.host: each.busy for each in turns},
            "worker_stalled_seconds": {stall.worker: stall.ago / 1000 for stall in self.stalls.all()},
            "queue_length": dict(zip(QUEUES, lengths, strict=True)),
        }

    def _hosts(self, operations: list[OperationId], now: int, in_flight: int) -> dict[str, Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for operation in operations:
                key = self.keys.operation(operation)
                pipe.hgetall(key)
                for part in ("todo", "open", "undo"):
                    pipe.scard(f"{key}:{part}")
                pipe.zcount(f"{key}:waits", f"({now}", "+inf")
            answers = pipe.execute(raise_on_error=False)
        stuck = pending = opened = 0
        waves: dict[str, dict[str, float]] = {"wave": {}, "held_seconds": {}, "baking_seconds": {}}
        overdue = 0.0
        waiting, wanted = dict.fromkeys(QUEUES, 0.0), dict.fromkeys(QUEUES, 0.0)
        # All that are not looked at are taken to be like those that are.
        share = max(1.0, in_flight / max(1, len(operations)))
        overlong = 1000 * self.settings.deadline
        for operation, *told in zip(operations, *(answers[part::5] for part in range(5)), strict=True):
            if any(isinstance(each, Exception) for each in told):
                continue  # somebody has damaged it: nothing is counted of it
            kept, todo, open_hosts, undo, later = told
            try:
                found = operation_from(operation, kept, todo=todo, open_hosts=open_hosts, undo=(), stalled=())
            except RecordDamaged:
                continue
            rolled_back, rollout = found.decision is Decision.ROLL_BACK, found.rollout
            since, waits = found.created_at + overlong, False
            if rollout is not None:
                since = max(found.deadline_at, found.decided_at or 0)  # of the wave at work
            if rollout is not None and found.decision is None:
                waits = rollout.stage in (Stage.BAKING, Stage.WAITING)
                waves["wave"][operation] = rollout.wave
                if rollout.hold:
                    waves["held_seconds"][operation] = (now - rollout.hold.since) / 1000
                if rollout.stage is Stage.BAKING:
                    late = (now - (rollout.bake_until or now)) / 1000
                    waves["baking_seconds"][operation] = max(0.0, rollout.bake / 1000 + late)
                    overdue = max(overdue, 0.0 if rollout.hold else late)
            stuck += now - since > overlong and not waits
            pending += undo if rolled_back else 0
            opened += open_hosts
            left = max(undo, open_hosts) if rolled_back else open_hosts if found.decision else todo
            # Those whose next try is at a time of its own occupy nobody until then.
            hosts = share * max(0, left - later)
            queue = ROLLBACK if found.decision else OPERATIONS
            waiting[queue] += hosts
            alone = hosts_per_task(self.settings, found.hosts_total) == 1
            wanted[queue] += hosts / (self.settings.concurrency if alone else self.settings.slice_threads)
        return {
            "operations_stuck": stuck,
            "pending_hosts": pending,
            "open_attempts": opened,
            "bake_overdue_seconds": overdue,
            **waves,
            "waiting_hosts": {queue: round(hosts) for queue, hosts in waiting.items()},
            "workers_wanted": wanted,
        }


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
    """Run a periodic piece of work, unless another worker has the lease, of so many ms, to do it.

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
        logger.error("the %s was not done: %s", name, why)
        metrics.count("not_done", name)
        with suppress(StoreUnavailable, StoreFull, RecordDamaged):
            runtime.store.note_failed(name, why)
        if not passing:
            raise
        return f"put off: {why}"
    finally:
        if rest is not None:
            with suppress(StoreUnavailable):
                runtime.store.keep_lease(name, rest)
    return said


@shared_task(bind=True, name=TaskName.SWEEP, send_events=False)
def sweep(self: Task[..., str]) -> str:
    """Publish what due operations need next; never speaks HTTP. Two at a time do no harm, but need not be."""
    runtime = runtime_of(self.app)
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
