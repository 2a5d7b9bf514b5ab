"""What a worker counts of its steps and calls, if a port is set; what it is at work on, and by which ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lockstep.worker.monitoring.probe import EVERY
from lockstep.worker.operation.answer import CallFigures
from lockstep.worker.operation.model import Decision, OperationId, State, Status
from lockstep.worker.operation.waves import worked
from lockstep.worker.process.forks import renew_in_children

if TYPE_CHECKING:
    from lockstep.worker.monitoring.endpoint import Metrics

CALL_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
END_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
METERS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "steps": ("Steps by what they came to.", ("task", "outcome"), ()),
    "attempts": ("Calls to hosts by what they said.", ("call", "answer"), ()),
    "call_seconds": ("How long hosts took.", ("call",), CALL_SECONDS),
    "call_phase_seconds": (
        "From the begin of a call until its connection, TLS, the first byte and all of it were there.",
        ("phase",),
        CALL_SECONDS,
    ),
    "call_bytes": ("Sent to hosts, and received.", ("way",), ()),
    "requests": ("Calls by the connection that they went over.", ("connection",), ()),
    "operations": ("Operations by their end.", ("action", "end"), ()),
    "rollbacks": ("Operations that were decided to be undone.", ("action",), ()),
    "operation_seconds": (
        "From acceptance to the end, without bakes and holds.",
        ("action", "end"),
        END_SECONDS,
    ),
    "sweeps": ("Sweeps that were done.", (), ()),
    "sweeps_put_off": ("Sweeps that resumed nothing, for a queue was long.", (), ()),
    "messages_dropped": ("Messages that nothing of ours can have sent.", (), ()),
    "not_done": ("Sweeps, patrols and looks of the patrol that failed.", ("work",), ()),
    "redis_errors": ("Tasks that could not reach Redis.", (), ()),
    "steps_raised": ("Steps that failed with an error of the code.", ("task",), ()),
    "messages_without_record": ("Messages about an operation that has no record.", (), ()),
}
"""What is counted: what it is, its labels, and the limits of its buckets if it is a duration."""


_counting: dict[str, Any] = {}
"""What this worker counts with, by the names of METERS; nothing if it does not count."""


def count_with(metrics: Metrics) -> None:
    """Count from now on, in this process and its children."""
    _counting.update(metrics.meters)


def count(name: str, *labels: str, by: float = 1) -> None:
    assert name in METERS, name
    if meter := _counting.get(name):
        (meter.labels(*labels) if labels else meter).inc(by)


def took(name: str, seconds: float, *labels: str) -> None:
    """Add a duration to one of METERS."""
    if meter := _counting.get(name):
        meter.labels(*labels).observe(seconds)


def call_carried(carried: CallFigures | None) -> None:
    if carried is None:
        return
    phases = ("connect", carried.connected), ("tls", carried.secured), ("first_byte", carried.first_byte)
    for phase, seconds in (*phases, ("total", carried.total)):
        if seconds:
            took("call_phase_seconds", seconds, phase)
    count("call_bytes", "sent", by=carried.sent)
    count("call_bytes", "received", by=carried.received)
    if carried.sent:
        count("requests", "kept" if carried.kept else "new")


def operation_seen(operation: Status, first: Callable[[OperationId, str], bool]) -> None:
    """Count that an operation is being undone, and its end, each if `first` says that nobody did before."""
    if _counting and operation.decision is Decision.ROLL_BACK and first(operation.id, "undone"):
        count("rollbacks", operation.action.value)
    ended = operation.ended or operation.state is State.COMMITTED
    if _counting and ended and first(operation.id, "counted"):
        labels = operation.action.value, operation.state.value
        count("operations", *labels)
        if (lasted := worked(operation)) is not None:
            took("operation_seconds", lasted / 1000, *labels)


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

    @property
    def idle(self) -> bool:
        return not self._going

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

current_ids: ContextVar[Mapping[str, str | None]] = ContextVar("ids", default={})  # noqa: B039 - never changed


@contextmanager
def log_ids(**given: str | None) -> Iterator[None]:
    """Within the block lines of this thread, or of the step whose turn it is, have these ids too.

    A step enters two of these. With structlog's own, which keeps each id by itself and looks through all that
    is kept, they were a twentieth of what a slice's worker does.
    """
    before = current_ids.set({**current_ids.get(), **given})
    try:
        yield
    finally:
        current_ids.reset(before)
