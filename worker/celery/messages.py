"""An operation -> its tasks, published in one batch; used by producers and workers alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

from celery import Celery
from kombu import Producer
from kombu.exceptions import BatchPublishError, LimitExceeded, OperationalError  # type: ignore[attr-defined]

from lockstep.worker.celery import QUEUE_OF, WAVE, Lockstep, TaskName
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.names import headers_for
from lockstep.worker.operation.store import Store
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.settings import Settings

TASKS_OF = {
    Phase.FORWARD: {Action.CREATE: TaskName.CREATE_GROUP, Action.DELETE: TaskName.DELETE_GROUP},
    Phase.GATE: dict.fromkeys(Action, TaskName.GATE),
    Phase.ROLLBACK: {Action.CREATE: TaskName.ROLLBACK_CREATE, Action.DELETE: TaskName.ROLLBACK_DELETE},
    Phase.SETTLE: dict.fromkeys(Action, TaskName.SETTLE),
}
"""What does a phase of an operation."""
BATCH = 500
"""Messages sent to Redis at once."""
ACQUIRE = 10.0
"""Seconds for which one of kombu's connections is waited for: there are twenty, each busy for milliseconds.
Its pool of producers would wait for a connection without end, and has more of them than connections."""
EVENTS = 100
"""`task-sent` events in one message."""
VISIBLE = 50
"""Up to VISIBLE hosts each have a task of their own, unless the settings say otherwise."""
TASKS, FEWEST, MOST = 16, 16, 64
"""An operation on more is cut into about TASKS tasks of FEWEST to MOST hosts each."""


class AllInUse(OperationalError):
    """No connection to the broker came free for ACQUIRE seconds; Redis may be well."""


def publish_next(app: Celery, store: Store, operation: OperationId, *, resume: bool = False) -> Claim | None:
    """Publish what the record says is to be done next, each phase once; return it, None once it has ended.

    With `resume`, the sweep's, also what has waited for long enough. Raises StoreUnavailable, and
    OperationalError: what is claimed and not published is published anew by the sweep.
    """
    claim = store.claim(operation, resume=resume)
    if claim is not None:
        publish(app, operation, claim)
    return claim


def publish(app: Celery, operation: OperationId, claim: Claim) -> None:
    """Publish a task per host or slice of hosts, in a chord that ends with `conclude` unless they settle."""
    if not claim.hosts:
        return
    args = (operation, claim.group)
    calls = [(*args, *each) for each in cut(app, claim.hosts)]
    task = TASKS_OF[claim.phase][claim.action]
    if claim.phase is Phase.SETTLE:
        _publish(app, task, calls)
        return
    noun = "round" if claim.phase is Phase.GATE else "wave"
    chord = str(uuid4())
    callback = app.signature(TaskName.CONCLUDE, args=args, immutable=True, queue=QUEUE_OF[TaskName.CONCLUDE])
    callback.options.update(task_id=str(uuid4()), ignore_result=True, **headers_for(args))
    with _broker_errors(app):
        # The size first: a header that ends before it is known could not be counted. `set_chord_size` would
        # delete what an earlier run of the chord left as well, a round trip for an id that is new.
        backend = cast(Any, app.backend)
        backend.client.set(backend.get_key_for_group(chord, ".s"), len(calls), ex=backend.chord_expires)
    at = f"{noun} {claim.number}" if claim.number else ""
    _publish(app, task, calls, at, group_id=chord, chord=callback)


def publish_conclude(app: Celery, operation: OperationId, group: GroupId) -> None:
    """Publish the callback by itself: the rollback is to begin now, not when the slowest header ends."""
    _publish(app, TaskName.CONCLUDE, [(operation, group)])


def publish_patrol(app: Celery, groups: Sequence[GroupId]) -> None:
    """Publish one look per group; it belongs to no operation."""
    task = TaskName.PATROL_GROUP
    with _broker_errors(app):
        for group in groups:
            app.send_task(task, (group,), queue=QUEUE_OF[task], argsrepr=group, ignore_result=True)


@contextmanager
def _broker_errors(app: Celery) -> Iterator[None]:
    """Raise OperationalError for every way in which the broker can be out of reach, half a batch included.

    Inside stand calls of Celery's and kombu's alone: an AttributeError is theirs.
    """
    try:
        yield
    except LimitExceeded as error:
        raise AllInUse("the broker is out of reach: all connections to it are in use") from error
    except (BatchPublishError, *app.backend.connection_errors) as error:  # type: ignore[attr-defined]
        raise OperationalError(f"the broker is out of reach: {error.__cause__ or error}") from error
    except AttributeError as error:
        # kombu 5.7: publishing again on a channel that was closed under it finds no connection there.
        raise OperationalError("the broker went away while messages were sent") from error


def hosts_per_task(settings: Settings, hosts: int) -> int:
    """Return how many hosts one task carries at most, in an operation on `hosts` hosts."""
    if settings.hosts_per_task is not None:
        return settings.hosts_per_task
    return 1 if hosts <= VISIBLE else min(max(FEWEST, math.ceil(hosts / TASKS)), MOST)


def cut(app: Celery, hosts: Sequence[HostName]) -> list[Sequence[HostName]]:
    """Cut hosts into the parts that one task each is to carry, of about the same size."""
    size = hosts_per_task(cast(Lockstep, app).settings, len(hosts))
    tasks = math.ceil(len(hosts) / size)
    return [hosts[n * len(hosts) // tasks : (n + 1) * len(hosts) // tasks] for n in range(tasks)]


def _publish(app: Celery, task: str, calls: Sequence[tuple[str, ...]], at: str = "", **chord: Any) -> None:
    """Send one message per call through one producer.

    Celery's canvas would clone and freeze a signature and subscribe to a result for every header, 0.6 ms
    each, and give every header a root id of its own.
    """
    queue = QUEUE_OF[task]
    headers = [headers_for(args, at) for args in calls]
    with (
        _broker_errors(app),
        cast(Any, app.pool).acquire(block=True, timeout=ACQUIRE) as connection,
        Producer(connection) as producer,
        producer.batch(BATCH),  # type: ignore[attr-defined]
    ):
        sent: Any = app.events.Dispatcher(
            connection=producer.connection,
            enabled=False,  # it would open a channel of its own
            buffer_while_offline=False,
            buffer_group=("task",),
            buffer_limit=EVENTS,
        )
        sent.enabled, sent.producer = app.conf.task_send_sent_event, producer
        for index, args in enumerate(calls):
            message = app.amqp.create_task_message(
                str(uuid4()),
                task,
                args,
                {},
                group_index=index if chord else None,
                ignore_result=True,
                kwargsrepr="{}",
                create_sent_event=True,
                **headers[index],
                **chord,
            )
            if at:
                message.headers[WAVE] = at
            sent.send("task-sent", **message.sent_event, queue=queue, exchange="", routing_key=queue)
            app.amqp.send_task_message(
                producer, task, message._replace(sent_event=None), queue=queue, declare=(), retry=False
            )
        sent.flush()
