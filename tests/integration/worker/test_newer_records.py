"""Beside newer workers: what they wrote is left as it is, and its messages are left for them."""

from __future__ import annotations

import pytest
import redis

from lockstep.worker.celery import OPERATIONS, ROLLBACK
from lockstep.worker.celery.messages import publish, publish_conclude
from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, GroupId, OperationId, State
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.record.codec import FILLED
from lockstep.worker.record.keys import Keys
from tests.integration.worker.harness import BY_HAND, Bench
from tests.waits import eventually

PLANTED = 4
"""Operations; with three hosts each they have more messages than a worker has places."""
NEWER = str(int(FILLED) + 1)


def written(raw: redis.Redis, bench: Bench, operation: OperationId) -> dict[str, bytes | None]:
    """Return all that is kept of an operation."""
    keys = raw.scan_iter(f"{Keys(bench.settings.key_prefix).operation(operation)}*")
    return {key: raw.dump(key) for key in keys}


def plant(raw: redis.Redis, bench: Bench, group: str) -> OperationId:
    """Record and publish an operation as a newer producer would."""
    operation = bench.accept(Action.CREATE, GroupId(group))
    BY_HAND.add(Keys(bench.settings.key_prefix).operation(operation))
    raw.hset(Keys(bench.settings.key_prefix).operation(operation), "format", NEWER)
    for phase in (Phase.FORWARD, Phase.SETTLE):
        publish(bench.app, operation, Claim(phase, GroupId(group), Action.CREATE, tuple(bench.hosts)))
    publish_conclude(bench.app, operation, GroupId(group))
    return operation


def of_newer(bench: Bench, raw: redis.Redis, count: int) -> tuple[list[OperationId], int]:
    """Plant operations; return them and how many messages are about them."""
    planted = [plant(raw, bench, f"{bench.group}-{number}") for number in range(count)]
    prefix = f"{bench.settings.key_prefix}celery:"
    return planted, int(raw.llen(f"{prefix}{OPERATIONS}")) + int(raw.llen(f"{prefix}{ROLLBACK}"))


def unacknowledged(bench: Bench, raw: redis.Redis) -> int:
    return int(raw.hlen(f"{bench.settings.key_prefix}celery:unacked"))


@pytest.mark.parametrize(("pool", "per_task"), [("threads", 1), ("prefork", 1), ("threads", 3)])
def test_messages_about_newer_records_are_left_and_take_no_place(
    bench: Bench, pool: str, per_task: int
) -> None:
    bench.app.settings = bench.settings.but(hosts_per_task=per_task)
    raw: redis.Redis = client(bench.settings)
    planted, messages = of_newer(bench, raw, PLANTED)
    assert messages > bench.settings.concurrency
    before = {operation: written(raw, bench, operation) for operation in planted}
    worker = bench.worker(options=["-P", pool])
    eventually(lambda: worker.output().count("] ignored\n") == messages, "each is left")
    assert unacknowledged(bench, raw) == messages

    ours = bench.start(Action.CREATE)
    assert bench.end(ours).operation.state is State.COMMITTED
    eventually(
        lambda: unacknowledged(bench, raw) == messages, "ours are acknowledged, and none of the others"
    )
    assert {operation: written(raw, bench, operation) for operation in planted} == before
    for number in range(PLANTED):
        assert not bench.history(group=GroupId(f"{bench.group}-{number}"))
    assert worker.output().count(" received\n") == messages + len(bench.hosts) // per_task + 1, (
        "nobody tries again"
    )
    assert "is left to a newer worker" in worker.output()

    worker.stop()
    assert unacknowledged(bench, raw) == messages
    assert raw.llen(f"{bench.settings.key_prefix}celery:{OPERATIONS}") == 0


def test_a_newer_worker_is_given_them_after_the_visibility_timeout(bench: Bench) -> None:
    raw: redis.Redis = client(bench.settings)
    (operation,), messages = of_newer(bench, raw, 1)
    older = bench.worker("older")
    eventually(lambda: older.output().count("] ignored\n") == messages, "each is left")
    older.stop()
    # There is no newer version to be started here: this one reads the record once it has its own format.
    raw.hset(Keys(bench.settings.key_prefix).operation(operation), "format", "1")
    bench.worker("newer")
    end = bench.end(operation, bench.settings.visibility_timeout + 45)
    assert end.operation.state is State.COMMITTED
    eventually(lambda: unacknowledged(bench, raw) == 0, "nothing is left")
