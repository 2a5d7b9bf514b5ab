"""A process that stands still notices it, says why, and ends, so that its supervisor starts another.

It compares the work that was begun with the work that goes on: a piece that takes longer than any can, or
many of which none gets any further. Time is counted as this process lived it: one that was frozen, or that a
busy machine left out, has not stood still.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lockstep.worker.forks import renew_in_children
from lockstep.worker.telemetry.signs import EVERY

TELL = 10.0
"""Seconds for telling it: what cannot be told by then is not."""
EXIT = 70
"""The exit status of a process that ends itself; EX_SOFTWARE of sysexits.h."""
log = logging.getLogger(__name__)


class Work:
    """What this process has begun and not ended. It has no lock, so that nothing here can stand still."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        """Have no work, at the beginning of time."""
        self.now = 0.0
        """Seconds that this process has lived and looked."""
        self._looked = time.monotonic()
        self._moved = 0.0
        self._going: dict[object, tuple[str, float]] = {}

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Count a piece of work from here to the end of the block."""
        key = object()
        self._moved = self.now
        self._going[key] = (what, self.now)
        try:
            yield
        finally:
            self._moved = self.now
            self._going.pop(key, None)

    def moves(self) -> None:
        """Note that some piece has got further."""
        self._moved = self.now

    def look(self) -> None:
        """Let time pass."""
        now = time.monotonic()
        self.now += min(now - self._looked, 2 * EVERY)  # more than that it was frozen
        self._looked = now

    def trouble(self, quiet: float) -> str | None:
        """Say why this process stands still; None if it does not.

        No piece that goes on may get no further for `quiet` seconds, nor go on for twice as long.
        """
        going = sorted(list(self._going.values()), key=lambda piece: piece[1])  # noqa: C414 - others change it
        if not going:
            return None
        what, since = going[0]
        still = self.now - self._moved
        if still > quiet:
            others = f", the first of {len(going)} at work," if len(going) > 1 else ""
            return f"{what}{others} has got no further for {still:.0f} s"
        if self.now - since > 2 * quiet:
            return f"{what} has gone on for {self.now - since:.0f} s"
        return None


work = Work()


def stacks() -> str:
    """Return what every thread is doing; threads that do the same are told of together."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    same: dict[str, list[str]] = defaultdict(list)
    for ident, frame in sys._current_frames().items():
        same["".join(traceback.format_stack(frame))].append(names.get(ident, str(ident)))
    told = sorted(same.items(), key=lambda stack: -len(stack[1]))
    return "\n".join(f"{len(threads)} × {', '.join(sorted(threads))}:\n{stack}" for stack, threads in told)


def give_up(trouble: str, *tell: Callable[[str], None]) -> None:
    """Write every stack to the log, tell those who want to know, and end this process."""

    def tell_all() -> None:
        log.critical("this process stands still, and ends: %s; its threads:\n%s", trouble, stacks())
        for each in tell:
            try:
                each(trouble)
            except Exception as error:  # noqa: BLE001 - it ends in any case
                log.warning("that could not be told: %s", error)

    # What stands still may be the log, or Redis.
    telling = threading.Thread(target=tell_all, name="stalls", daemon=True)
    telling.start()
    telling.join(TELL)
    os._exit(EXIT)


def watch_child(quiet: float, *tell: Callable[[str], None]) -> None:
    """Watch a child of a prefork worker, which has no heart; its parent starts another in its place."""

    def run() -> None:
        while True:
            time.sleep(EVERY)
            work.look()
            if (trouble := work.trouble(quiet)) is not None:
                give_up(trouble, *tell)

    threading.Thread(target=run, name="stalls", daemon=True).start()
