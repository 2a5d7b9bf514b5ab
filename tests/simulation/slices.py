"""What the task shells do for the hosts of one task: threads side by side, in one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from lockstep.worker.operation.answer import StopOrdered
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import HostName
from lockstep.worker.steps.apply import Next, StepResult
from lockstep.worker.tasks.run import NOT_BEGUN, keep_longer_waits
from tests.simulation.broker import Message
from tests.simulation.limits import SETTINGS
from tests.simulation.task import Run
from tests.simulation.world import Killed

Step = Callable[[Run, HostName], StepResult]


def run_steps(run: Run, step: Step) -> Mapping[HostName, float]:
    """Run the step for every host; return those to come back to, with their delays in seconds."""
    message, told = run.message, False

    def told_of(thread: Run, host: HostName) -> StepResult:
        nonlocal told
        result = step(thread, host)
        if result.next is Next.FAILED and not told:
            told = True
            run.broker.publish(Message("conclude", message.operation))
        for operation in thread.context.store.called():
            queued = run.broker.ledger.store.records[operation].limited
            run.world.note("hosts called to their turn" if queued else "waves published by who opened them")
            with suppress(StoreUnavailable):
                run.broker.publish_next(run, operation, resume=True)
        return result

    results = _side_by_side(run, told_of)
    return keep_longer_waits(run.context, message.operation, results)


def _side_by_side(run: Run, step: Step) -> dict[HostName, StepResult]:
    hosts = run.message.hosts
    if len(hosts) == 1:
        return {hosts[0]: step(run, hosts[0])}
    run.world.note("tasks for several hosts")
    begin_before = run.elapsed() + SETTINGS.call_timeout
    left, results = deque(hosts), dict.fromkeys(hosts, NOT_BEGUN)
    faults: list[BaseException] = []
    running = run.broker.ledger.running

    def work() -> None:
        thread = run.thread()
        running.add(thread)
        try:
            while not faults and thread.elapsed() < begin_before:
                if not left:
                    break
                host = left.popleft()
                results[host] = step(thread, host)
        except Killed:
            run.process.dead = True
        except (StoreUnavailable, StopOrdered) as fault:
            faults.append(fault)
        finally:
            running.discard(thread)

    run.world.side_by_side([work] * min(len(hosts), run.broker.threads))
    if run.process.dead:
        raise Killed
    if faults:
        raise faults[0]
    return results
