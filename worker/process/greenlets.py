"""Many steps in one thread, by turns: whichever waits for an answer lets the others go on.

A step waits for nothing but answers, of hosts and of the record, which other threads bring. With a thread for
each step most of what a host costs would be waking them, one by one: threads share one interpreter.
"""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

A = TypeVar("A")
K = TypeVar("K")
R = TypeVar("R")
_here = threading.local()
"""`step` is the one whose turn it is in this thread; there is none where somebody just waits."""


class _Step:
    __slots__ = ("awaits", "placed", "ready", "run")

    def __init__(self, run: Any, ready: SimpleQueue[_Step], placed: bool) -> None:
        self.run, self.ready, self.placed = run, ready, placed
        self.awaits: Handover[Any] | None = None


class Handover(Generic[A]):
    """An answer that another thread brings, to the step or the thread that made this."""

    __slots__ = ("_ready", "_step", "said")

    def __init__(self) -> None:
        self.said: list[A] = []
        self._step: _Step | None = getattr(_here, "step", None)
        self._ready: SimpleQueue[Any] = SimpleQueue() if self._step is None else self._step.ready

    def bring(self, answer: A) -> None:
        """Bring it. Any after the first come too late to matter."""
        self.said.append(answer)
        self._ready.put(self._step)

    def wait(self) -> A:
        """Wait for it, once."""
        if self._step is None:
            self._ready.get()
        else:
            self._step.awaits = self
            self._step.run.parent.switch()
            self._step.awaits = None
        return self.said.pop(0)  # an error holds the frames that it came through, and those who wait in them


def side_by_side(
    wanted: Iterable[K],
    step: Callable[[K], R],
    may_begin: Callable[[], bool],
    places: threading.Semaphore,
    queue: Callable[[], Any] | None = None,
) -> dict[K, R]:
    """Run a step for each of these as long as `may_begin` says so; return what came of those that were begun.

    All threads of a process share the `places`, one for each step; a step alone in its thread needs none.
    What a step raises is raised here, once every step that was begun is over; no other is begun after it.
    Where this thread is interrupted, so are they, in what they wait for. Those whose answers have come stand
    in a `queue`.
    """
    from greenlet import greenlet

    left, at_work, results, faults = deque(wanted), set[_Step](), dict[K, R](), list[BaseException]()
    ready: Any = (queue or SimpleQueue)()

    def work(on: K) -> None:
        try:
            results[on] = step(on)
        except BaseException as error:  # noqa: BLE001 - raised below, by the thread whose step it is
            faults.append(error)

    def turn(of: _Step, go_on: Callable[[], object]) -> None:
        _here.step = of
        try:
            go_on()
        finally:
            _here.step = None
        if of.run.dead:
            at_work.discard(of)
            if of.placed:
                places.release()

    try:
        while True:
            while left and not faults and may_begin():
                placed = places.acquire(blocking=False)
                if at_work and not placed:
                    break
                begun = _Step(greenlet(partial(work, left.popleft())), ready, placed)
                begun.run.gr_context = copy_context()
                at_work.add(begun)
                turn(begun, begun.run.switch)
            if not at_work:
                break
            told = ready.get()
            if told.awaits is not None and told.awaits.said:
                turn(told, told.run.switch)
    finally:
        for each in list(at_work):
            turn(each, each.run.throw)
    if faults:
        raise faults[0]
    return results


def stacks() -> Iterator[str]:
    """Yield where each step is that waits for its turn, of all threads."""
    if (module := sys.modules.get("greenlet")) is not None:
        found = [each for each in gc.get_objects() if type(each) is module.greenlet]
        yield from ("".join(traceback.format_stack(each.gr_frame)) for each in found if each.gr_frame)
