"""What the task shells do around the steps: retry, requeue, conclude early, publish what comes next."""

from __future__ import annotations

from tests.simulation.broker import Message
from tests.simulation.faults import GROUP
from tests.simulation.patrol import run_patrol
from tests.simulation.task import Run
from worker.operation.decision import Move
from worker.operation.errors import StoreUnavailable
from worker.operation.ports import Stopping
from worker.steps import Next, Result, conclude, forward, resume, rollback, settle

BATCH = 200


def run_task(run: Run) -> None:
    """Run a task of any kind, and acknowledge its message."""
    message = run.message
    try:
        result = _step(run)
    except (StoreUnavailable, Stopping) as error:
        if message.kind == "sweep":
            return  # the next one is two seconds away
        run.log("requeued:", error)
        run.broker.requeue(message)
        return
    run.log("->", result.next if result else "done")
    if result is not None and result.next is Next.AGAIN:
        again = Message(
            message.kind,
            message.operation,
            message.action,
            message.host,
            message.chord,
            message.index,
            message.tries + 1,
        )
        run.broker.publish(again, result.delay)
    else:
        if result is not None and result.next is Next.FAILED:
            run.broker.publish(Message("conclude", message.operation))
        run.broker.end_of_header(message)
    _, delay = run.draw(run.world.clock)
    run.sleep(delay)
    message.acked = True


def _step(run: Run) -> Result | None:
    message = run.message
    if message.kind == "sweep":
        _sweep(run)
        return None
    if message.kind == "patrol":
        run_patrol(run)
        return None
    if message.kind == "conclude":
        _conclude(run)
        return None
    assert message.host is not None
    parts = run.parts()
    if message.kind == "forward":
        assert message.action is not None
        return forward(parts, message.operation, GROUP, message.action, message.host, message.tries)
    step = rollback if message.kind == "rollback" else settle
    return step(parts, message.operation, message.host, message.tries)


def _conclude(run: Run) -> None:
    operation = run.message.operation
    work = conclude(run.store, operation)
    kept = run.store.operation(operation)
    if kept is not None and work.move is Move.UNDO:
        run.broker.publish_chord("rollback", operation, kept.action, work.hosts)


def _sweep(run: Run) -> None:
    if not run.store.lease("sweep", 1_000):
        return
    for operation in run.store.due(BATCH):
        work = resume(run.store, operation)
        kept = run.store.operation(operation) if work.move is not Move.NOTHING else None
        if kept is None:
            continue
        match work.move:
            case Move.COMMIT | Move.ROLL_BACK:
                run.broker.publish(Message("conclude", operation))
            case Move.FORWARD:
                run.broker.publish_chord("forward", operation, kept.action, work.hosts)
            case Move.UNDO:
                run.broker.publish_chord("rollback", operation, kept.action, work.hosts)
            case Move.SETTLE:
                for host in work.hosts:
                    run.broker.publish(Message("settle", operation, host=host))
