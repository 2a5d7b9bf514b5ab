"""Starts children again that ended by themselves."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lockstep.producer.stack.child import Child

LOOK_EVERY = 0.1
"""Seconds between two looks; one look is a system call per child."""
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
"""Seconds before a restart: at once for an accident, slower for a child that ends again and again."""
STEADY = 10.0
"""Seconds after which a child that ran counts as well again."""


log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChildState:
    """A child and how often it ended shortly after its start."""

    child: Child
    failures: int = 0
    due: float | None = None
    since: float = 0.0


class Supervisor:
    """A thread that restarts every wanted child that does not run. The lock is held while it looks."""

    def __init__(self, children: Iterable[Child], lock: threading.RLock, say: Callable[[str], None]) -> None:
        self._patients = [ChildState(child, since=time.monotonic()) for child in children]
        self._lock = lock
        self._say = say
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin to look after the children."""
        self._thread.start()

    def stop(self) -> None:
        """Look after them no more; returns when nothing will be started any more."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            for patient in self._patients:
                try:
                    with self._lock:
                        self._look(patient, time.monotonic())
                except Exception:  # of whoever hears of it, for example: the children need looking after
                    log.exception("while looking after %s", patient.child.name)

    def _look(self, patient: ChildState, now: float) -> None:
        child = patient.child
        if not child.wanted or child.running:
            if patient.failures and now - patient.since > STEADY:
                patient.failures = 0
            patient.due = None
            return
        if patient.due is None:
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**patient.failures)
            patient.failures += 1
            patient.due = now + delay
            self._say(f"{child.name} {child.fate}; it starts again in {delay:g} s")
        elif now >= patient.due:
            patient.due, patient.since = None, now
            with contextlib.suppress(OSError):  # no memory, no descriptors: the next look tries again
                child.launch()
