"""The hosts of one task, worked on side by side."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue

from structlog.contextvars import bound_contextvars

from lockstep.worker.forks import renew_in_children
from lockstep.worker.monitoring.heartbeat import work
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.ports import Clock
from lockstep.worker.steps import Next, Result

HostStep = Callable[[HostName], Result]
Results = Mapping[HostName, Result]
NOT_BEGUN = Result(Next.AGAIN, "not begun yet")
KINDS_SHOWN = 3


class _Threads:
    """The threads of this process that work on hosts, made at their first use after a start or a fork."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._making = threading.Lock()

    def pool(self, most: int) -> ThreadPoolExecutor:
        """Return the threads, the same for all tasks."""
        with self._making:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(most, thread_name_prefix="hosts")
            return self._pool


_threads = _Threads()


def side_by_side(
    hosts: Sequence[HostName], step: HostStep, clock: Clock, begin_within: float, threads: int
) -> Results:
    """Run the step for every host that can be begun within so many seconds; the others are to run again.

    `threads` is the most that run at once in this process, for all its tasks together. What a step raises
    is raised here, once every step that was begun is over; no other is begun after it.
    """
    if len(hosts) == 1:
        return {hosts[0]: step(hosts[0])}
    begin_before = clock.elapsed() + begin_within
    left = deque(hosts)
    results = dict.fromkeys(hosts, NOT_BEGUN)
    faults: list[BaseException] = []
    begun: list[None] = []
    ended: list[None] = []
    bell: SimpleQueue[None] = SimpleQueue()
    """Rung after each addition to `ended`."""

    def serve() -> None:
        # Before a look at the faults: whoever adds one then waits for those that have begun.
        begun.append(None)
        try:
            while not faults and clock.elapsed() < begin_before:
                try:
                    host = left.popleft()
                except IndexError:
                    return
                with bound_contextvars(host=host), work.going_on(f"a step on {host}"):
                    results[host] = step(host)
        except BaseException as error:
            faults.append(error)
            raise
        finally:
            ended.append(None)
            bell.put(None)

    pool, wanted = _threads.pool(threads), min(len(hosts), threads)
    try:
        for _ in range(wanted):
            pool.submit(copy_context().run, serve)
        while len(ended) < wanted:
            bell.get()
    except BaseException as error:  # this thread is interrupted, or there are no more threads
        faults.append(error)
        while len(ended) < len(begun):
            bell.get()
        raise
    if faults:
        raise faults[0]
    return results


def summary(results: Results) -> str:
    """Return what the steps came to, in a few words."""
    if len(results) == 1:
        (only,) = results.values()
        return only.story or only.text
    kinds = Counter(result.text for result in results.values()).most_common()
    told = [f"{text}: {count}" for text, count in kinds[:KINDS_SHOWN]]
    others = sum(count for _, count in kinds[KINDS_SHOWN:])
    return " · ".join([*told, *([f"other: {others}"] if others else [])])
