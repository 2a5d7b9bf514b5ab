"""How things stand in the record, read for metrics: a few counts, and a look at what has not ended."""

from __future__ import annotations

import redis

from lockstep.worker.celery import OPERATIONS, ROLLBACK
from lockstep.worker.operation.model import OperationId
from lockstep.worker.settings import Settings
from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.clocks import reported
from lockstep.worker.store.connection import client
from lockstep.worker.store.keys import Keys
from lockstep.worker.store.spells import spells
from lockstep.worker.store.stalls import stalls
from lockstep.worker.telemetry.metrics import Standing

LOOKED_AT = 500
"""Operations whose hosts are counted, the longest overdue first, so that a look stays cheap."""
QUEUES = (OPERATIONS, ROLLBACK)


class Reader:
    """Reads how things stand, on a connection of its own that gives up soon."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected."""
        quick = {"redis_timeout": 1.0, "redis_connect_timeout": 1.0}
        self._client: redis.Redis = client(settings.model_copy(update=quick))
        self._keys = Keys(settings.key_prefix)
        self._overlong = round(2000 * settings.deadline)

    def read(self) -> Standing:
        """Read everything. Raises StoreUnavailable."""
        keys = self._keys
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zcard(keys.due)
            pipe.zrange(keys.due, 0, LOOKED_AT - 1, withscores=True)
            pipe.zrange(keys.patrol, 0, 0, withscores=True)
            pipe.hlen(keys.drift)
            pipe.hlen(keys.paused)
            pipe.hlen(keys.failing)
            pipe.hgetall(keys.spared)
            pipe.hgetall(keys.clocks)
            pipe.hgetall(keys.stalled)
            for queue in QUEUES:
                pipe.llen(f"{keys.prefix}celery:{queue}")
            (
                (seconds, micros),
                in_flight,
                due,
                patrol,
                drift,
                paused,
                failing,
                spared,
                clocks,
                stalled,
                *lengths,
            ) = pipe.execute()
        now = seconds * 1000 + micros // 1000
        with store_errors():
            overdue = self._client.zcount(keys.patrol, "-inf", now)
        stuck, pending, opened = self._hosts([OperationId(name) for name, _ in due], now)
        return Standing(
            in_flight=in_flight,
            stuck=stuck,
            pending_hosts=pending,
            open_attempts=opened,
            drift=drift,
            paused_hosts=paused,
            failing=failing,
            spared_hosts=sum(spell.until > now for spell in spells(keys.spared, spared)),
            sweep_lag=_overdue(due, now),
            patrol_overdue=overdue,
            patrol_lag=_overdue(patrol, now),
            clocks_ahead={
                name: each.ahead / 1000 for name, each in reported(keys.clocks, clocks, now).items()
            },
            stalled={stall.worker: stall.ago / 1000 for stall in stalls(keys.stalled, stalled, now)},
            queues=dict(zip(QUEUES, lengths, strict=True)),
        )

    def _hosts(self, operations: list[OperationId], now: int) -> tuple[int, int, int]:
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            for operation in operations:
                pipe.zscore(self._keys.operations, operation)
                pipe.hget(self._keys.operation(operation), "decision")
                pipe.scard(self._keys.undo(operation))
                pipe.scard(f"{self._keys.operation(operation)}:open")
            # Of an operation that somebody has damaged nothing is counted.
            answers = pipe.execute(raise_on_error=False)
        told = [None if isinstance(each, Exception) else each for each in answers]
        stuck = pending = opened = 0
        for accepted, decision, undo, open_hosts in zip(*(told[part::4] for part in range(4)), strict=True):
            stuck += accepted is not None and now - accepted > self._overlong
            pending += undo or 0 if decision == "roll_back" else 0
            opened += open_hosts or 0
        return stuck, pending, opened


def _overdue(first: list[tuple[str, float]], now: int) -> float:
    """Return the seconds for which the first of a sorted set of times has been due."""
    return max(0.0, (now - first[0][1]) / 1000) if first else 0.0
