"""What the task shells do around the steps: retry, requeue, conclude early, publish what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lockstep.worker.operation.answer import StopOrdered
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import HostName
from lockstep.worker.steps.apply import StepResult, forward
from lockstep.worker.steps.looks import gate
from lockstep.worker.steps.rollback import rollback, settle
from lockstep.worker.tasks.run import REQUEUE
from tests.simulation.faults import GROUP
from tests.simulation.patrol import run_patrol
from tests.simulation.slices import run_steps
from tests.simulation.task import Run

BATCH = 200
BEFORE_REQUEUE = (round(500 * REQUEUE), round(1500 * REQUEUE))
"""Milliseconds."""


def run_task(run: Run) -> None:
    """Run a task of any kind, and acknowledge its message."""
    message = run.message
    again: Mapping[HostName, float] = {}
    try:
        if message.hosts:
            again = run_steps(run, _step)
        else:
            _once(run)
        if again:
            _retry(run, again)
    except (StoreUnavailable, StopOrdered) as error:
        if message.kind == "sweep":
            return  # the next one is two seconds away
        if not isinstance(error, StopOrdered):
            run.sleep(BEFORE_REQUEUE[run.world.choose(2)])
        run.log("requeued:", error)
        run.broker.requeue(message, run.started)
        return
    run.log("->", f"again: {again}" if again else "done")
    if not again:
        run.broker.end_of_header(message)
    _, delay = run.draw(run.world.clock)
    run.sleep(delay)
    message.acked = True


def _retry(run: Run, again: Mapping[HostName, float]) -> None:
    """Publish the next try. Raises StoreUnavailable when Redis, which is the broker too, is away."""
    if run.world.now < run.world.redis_back_at:
        raise StoreUnavailable("the retry could not be published")
    message = run.message
    retry = replace(message, hosts=tuple(again), tries=message.tries + 1, acked=False)
    run.broker.publish(retry, max(again.values()))


def _once(run: Run) -> None:
    match run.message.kind:
        case "sweep":
            _sweep(run)
        case "patrol":
            run_patrol(run)
        case "conclude":
            run.broker.publish_next(run, run.message.operation)


def _step(run: Run, host: HostName) -> StepResult:
    message = run.message
    context = run.context
    if message.kind == "forward":
        assert message.action is not None
        return forward(context, message.operation, GROUP, message.action, host, message.tries)
    if message.kind == "gate":
        return gate(context, message.operation, host, message.tries)
    step = rollback if message.kind == "rollback" else settle
    return step(context, message.operation, host, message.tries)


def _sweep(run: Run) -> None:
    if not run.store.lease("sweep", 1_000):
        return
    for operation in run.store.due(BATCH):
        run.broker.publish_next(run, operation, resume=True)
