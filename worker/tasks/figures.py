"""How Lockstep stands: what a worker tells Prometheus of the record and of what waits in the queues."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lockstep.worker.celery import OPERATIONS, QUEUES, ROLLBACK
from lockstep.worker.celery.messages import hosts_per_task
from lockstep.worker.connection import impatient
from lockstep.worker.monitoring.endpoint import Figures
from lockstep.worker.operation.model import Decision, Millis, OperationId, Stage
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings

LOOKED_AT = 500
"""Operations whose hosts are counted, the longest overdue first, so that a look stays cheap."""


class FiguresReader(Link):
    """Reads how things stand, on connections of its own that give up soon."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(impatient(settings, 1.0))

    def read(self) -> Figures:
        now, counts, due = self.store.now(), self.counts(), self.store.due_times(LOOKED_AT)
        overdue, lag = self.store.patrol_overdue()
        loads = self.limits.loads()
        return {
            **counts,
            **self._hosts(due, now, counts["operations_in_flight"]),
            "spared_hosts": len(self.silences.all()),
            "sweep_lag_seconds": max(0.0, (now - min(due.values(), default=now)) / 1000),
            "patrol_overdue": overdue,
            "patrol_lag_seconds": lag / 1000,
            "clock_ahead_seconds": {name: ahead / 1000 for name, ahead in self.clocks.all().items()},
            "writes_in_line": {each.host: each.waiting for each in loads},
            "write_places_taken": {each.host: each.busy for each in loads},
            "worker_stalled_seconds": {stall.worker: stall.ago / 1000 for stall in self.stalls.all()},
            "queue_length": {queue: self.store.queue_length(queue) for queue in QUEUES},
        }

    def _hosts(self, operations: Collection[OperationId], now: Millis, in_flight: int) -> dict[str, Any]:
        stuck = pending = opened = 0
        waves: dict[str, dict[str, float]] = {"wave": {}, "held_seconds": {}, "baking_seconds": {}}
        overdue = 0.0
        waiting, wanted = dict.fromkeys(QUEUES, 0.0), dict.fromkeys(QUEUES, 0.0)
        # All that are not looked at are taken to be like those that are.
        share = max(1.0, in_flight / max(1, len(operations)))
        overlong = 1000 * self.settings.deadline
        for found, todo, open_hosts, undo, later in self.looked_at(operations, now):
            rolled_back, rollout = found.decision is Decision.ROLL_BACK, found.rollout
            since, waits = found.created_at + overlong, False
            if rollout is not None:
                since = max(found.deadline_at, found.decided_at or 0)  # of the wave at work
            if rollout is not None and found.decision is None:
                waits = rollout.stage in (Stage.BAKING, Stage.WAITING)
                waves["wave"][found.id] = rollout.wave
                if rollout.hold:
                    waves["held_seconds"][found.id] = (now - rollout.hold.since) / 1000
                if rollout.stage is Stage.BAKING:
                    late = (now - (rollout.bake_until or now)) / 1000
                    waves["baking_seconds"][found.id] = max(0.0, rollout.bake / 1000 + late)
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
