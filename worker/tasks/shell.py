"""What every task does around its step: retries, stopping, and a Redis that is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from celery import Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from worker.operation.errors import StoreFull, StoreUnavailable, UnknownFormat
from worker.operation.ports import Stopping
from worker.steps import Next, Parts, Result
from worker.tasks.newer import LeftToNewer
from worker.tasks.runtime import Runtime, runtime_of
from worker.telemetry import metrics

T = TypeVar("T")


def run_step(task: Task[..., str], step: Callable[[Parts, int], Result]) -> Result:
    """Run a step; retry the task through Celery when it says so, requeue it when it could not run.

    Raises Celery's Retry and Reject, which are no failures: a chord does not count the task yet.
    """

    def run(runtime: Runtime) -> Result:
        return step(runtime.parts, task.request.retries + 1)

    result = guarded(task, run)
    if result.next is Next.AGAIN:
        try:
            raise task.retry(countdown=result.delay)
        except OperationalError as error:
            raise Reject(str(error), requeue=True) from error
    if result.next is not Next.LATER:
        metrics.step_done(task.name, result.text)
    return result


def guarded(task: Task[..., str], run: Callable[[Runtime], T]) -> T:
    """Run with this process's runtime; the message goes back to its queue when the record is out of reach."""
    try:
        return run(runtime_of(task.app))
    except Stopping as error:
        raise Reject("the worker is being stopped", requeue=True) from error
    except (StoreUnavailable, StoreFull, OperationalError) as error:
        metrics.redis_failed()
        raise Reject(str(error), requeue=True) from error
    except UnknownFormat as error:
        raise LeftToNewer(str(error)) from error
