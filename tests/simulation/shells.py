"""What Celery is to the product's own code around the steps, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Semaphore
from typing import Any, cast
from unittest.mock import Mock

from celery.exceptions import Ignore, Reject, Retry

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import HostName, OperationId
from lockstep.worker.process.greenlets import side_by_side
from lockstep.worker.steps.apply import StepResult, forward
from lockstep.worker.steps.looks import gate
from lockstep.worker.steps.rollback import rollback, settle
from lockstep.worker.tasks.run import REQUEUE, OnHost, Slice, StepResults, guarded, try_again
from tests.simulation.broker import Message
from tests.simulation.limits import SETTINGS
from tests.simulation.patrol import run_patrol
from tests.simulation.task import Run
from tests.simulation.world import Killed, Violation

BATCH = 200
BEFORE_REQUEUE = (round(500 * REQUEUE), round(1500 * REQUEUE))
"""Milliseconds."""


class SimTask:
    """What Celery's task is to the product's code around the steps."""

    app = Mock(settings=None, build_runtime=lambda _: None)
    """Every run brings its own store and hosts."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.name = f"lockstep.{run.message.kind}"

    def retry(self, args: tuple[HostName, ...], countdown: float) -> Retry:
        """Publish the next try. Raises Reject as Celery does when Redis, which is the broker too, is away."""
        world, message = self._run.world, self._run.message
        if world.now < world.redis_back_at:
            raise Reject("the retry could not be published", requeue=False)
        self._run.broker.publish(
            replace(message, hosts=args, tries=message.tries + 1, acked=False), countdown
        )
        return Retry(f"in {countdown:.3f} s")

    def wait(self, _: float) -> None:
        """Wait for a while before the message goes back."""
        self._run.sleep(BEFORE_REQUEUE[self._run.world.choose(2)])


def run_task(run: Run) -> None:
    """Run a task of any kind, and do with its message what Celery does by what comes of it."""
    message = run.message
    if message.kind == "sweep":
        with suppress(StoreUnavailable):  # the next one is two seconds away
            _sweep(run)
        return
    shell = SimTask(run)
    task = cast(Any, shell)
    try:
        again = guarded(task, lambda _: _work(run), shell.wait)
        if again:
            try_again(task, (), again, shell.wait)
        run.log("-> done")
        run.broker.end_of_header(message)
    except Retry as later:
        run.log("->", later)
    except Reject as back:
        if not getattr(back, "requeue", False):
            raise Violation(f"{message} is dropped: {back}") from back
        run.log("requeued:", back)
        run.broker.requeue(message, run.started)
        return
    except Ignore as dropped:
        raise Violation(f"{message} is dropped: {dropped!r}") from dropped
    _, delay = run.draw(run.world.clock)
    run.sleep(delay)
    message.acked = True


def _work(run: Run) -> Mapping[HostName, float]:
    """Do what the message is about; return the hosts to come back to."""
    message = run.message
    if not message.hosts:
        _once(run)
        return {}
    alone = len(message.hosts) == 1
    those = Slice(
        run.context,
        message.operation,
        step=partial(_step, run) if alone else partial(_step_of_many, run),
        raised=_raised,
        note_decided=run.process.note_decided,
        conclude=lambda: run.broker.publish(Message("conclude", message.operation)),
        publish=partial(_publish_due, run),
        side_by_side=partial(_by_turns, run),
        begin_within=SETTINGS.call_timeout,
    )
    _, again = those.run(message.hosts)
    return again


def _by_turns(
    run: Run, hosts: Sequence[HostName], step: OnHost, may_begin: Callable[[], bool]
) -> StepResults:
    """Run steps as a worker does; one that is killed takes the others along, at their next turns."""
    world = run.world
    world.note("tasks for several hosts")

    def one(host: HostName) -> StepResult:
        try:
            return step(host)
        except Killed:
            run.process.dead = True
            raise
        except Violation as wrong:
            world.wrong = wrong
            raise

    world.slices += 1
    try:
        return side_by_side(hosts, one, may_begin, Semaphore(run.broker.threads), world.queue)
    except Exception:
        if run.process.dead:
            raise Killed from None
        raise
    finally:
        world.slices -= 1


def _raised(host: HostName, error: Exception) -> StepResult:
    if isinstance(error, Violation):
        raise error
    raise Violation(f"the step of {host} raised {error!r}") from error


def _publish_due(run: Run, operation: OperationId) -> None:
    queued = run.broker.ledger.store.records[operation].limited
    run.world.note("hosts called to their turn" if queued else "waves published by who opened them")
    with suppress(StoreUnavailable):
        run.broker.publish_next(run, operation, resume=True)


def _step_of_many(run: Run, host: HostName) -> StepResult:
    running, own = run.broker.ledger.running, run.thread()
    running.add(own)
    try:
        return _step(own, host)
    finally:
        running.discard(own)


def _once(run: Run) -> None:
    match run.message.kind:
        case "patrol":
            run_patrol(run)
        case "conclude":
            run.broker.publish_next(run, run.message.operation)


def _step(run: Run, host: HostName) -> StepResult:
    message = run.message
    context = run.context
    if message.kind == "forward":
        assert message.action is not None
        return forward(context, message.operation, run.broker.group, message.action, host, message.tries)
    if message.kind == "gate":
        return gate(context, message.operation, host, message.tries)
    step = rollback if message.kind == "rollback" else settle
    return step(context, message.operation, host, message.tries)


def _sweep(run: Run) -> None:
    if not run.store.lease("sweep", 1_000):
        return
    for operation in run.store.due(BATCH):
        run.broker.publish_next(run, operation, resume=True)
