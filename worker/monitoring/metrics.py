"""What a worker counts of its steps and calls, for Prometheus; nothing is counted unless a port is set.

Counts are kept in files, one per process, so that prefork's children are seen too. What the record holds is
read from it whenever somebody looks: every worker shows the same, so take the maximum over workers.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockstep.worker.monitoring.endpoint import MetricsRequest, MetricsServer, claimed_folder
from lockstep.worker.operation.answer import Carried
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Operation, OperationId
from lockstep.worker.operation.waves import worked

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

log = logging.getLogger(__name__)
FILES = "PROMETHEUS_MULTIPROC_DIR"
CALL_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
END_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """How things stand in the record, and what waits in the queues; times in seconds. GAUGES tells more."""

    in_flight: int = 0
    stuck: int = 0
    pending_hosts: int = 0
    open_attempts: int = 0
    drift: int = 0
    paused_hosts: int = 0
    spared_hosts: int = 0
    sweep_lag: float = 0.0
    failing: int = 0
    bake_overdue: float = 0.0
    patrol_overdue: int = 0
    patrol_lag: float = 0.0
    queues: dict[str, int] = field(default_factory=dict)
    waiting_hosts: dict[str, int] = field(default_factory=dict)
    workers_wanted: dict[str, float] = field(default_factory=dict)
    clocks_ahead: dict[str, float] = field(default_factory=dict)
    in_line: dict[str, float] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)
    wave: dict[str, int] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    baking: dict[str, float] = field(default_factory=dict)
    stalled: dict[str, float] = field(default_factory=dict)


GAUGES = {
    "operations_in_flight": ("in_flight", "Operations that have not ended.", ""),
    "operations_stuck": ("stuck", "Operations that have not ended after twice their deadline.", ""),
    "pending_hosts": ("pending_hosts", "Hosts that are still to be restored.", ""),
    "open_attempts": ("open_attempts", "Hosts with a write of unknown fate.", ""),
    "drift": ("drift", "Hosts that differ from what the record says.", ""),
    "paused_hosts": ("paused_hosts", "Hosts that new operations are kept off.", ""),
    "spared_hosts": ("spared_hosts", "Hosts that are spared, for they do not answer.", ""),
    "sweep_lag_seconds": ("sweep_lag", "Since the longest overdue operation was due.", ""),
    "failing": ("failing", "Periodic pieces of work that failed when they were last tried.", ""),
    "bake_overdue_seconds": ("bake_overdue", "Since a bake was over that the sweep has not ended.", ""),
    "patrol_overdue": ("patrol_overdue", "Groups that the patrol should have looked at.", ""),
    "patrol_lag_seconds": ("patrol_lag", "Since the longest overdue group was due.", ""),
    "queue_length": ("queues", "Messages that wait.", "queue"),
    "waiting_hosts": ("waiting_hosts", "Hosts that wait for a worker, or have one.", "queue"),
    "workers_wanted": ("workers_wanted", "Workers that they would occupy.", "queue"),
    "clock_ahead_seconds": ("clocks_ahead", "Of Redis'; negative: behind.", "process"),
    "writes_in_line": ("in_line", "Writes that wait for their turn at a limited host.", "host"),
    "write_places_taken": ("places", "Writes that count to the limit of a host.", "host"),
    "wave": ("wave", "The wave at work.", "operation"),
    "held_seconds": ("held", "Since somebody has held the operation.", "operation"),
    "baking_seconds": ("baking", "Since the wave at work was done.", "operation"),
    "worker_stalled_seconds": ("stalled", "Since a worker stood still.", "worker"),
}
"""Name -> the field of `Figures`, what it is, and the label that its keys are if it is a mapping."""
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
    "messages_dropped": ("Messages that nothing of ours can have sent.", (), ()),
    "not_done": ("Sweeps, patrols and looks of the patrol that failed.", ("work",), ()),
    "redis_errors": ("Tasks that could not reach Redis.", (), ()),
    "steps_raised": ("Steps that failed with an error of the code.", ("task",), ()),
    "messages_without_record": ("Messages about an operation that has no record.", (), ()),
}
"""What is counted: what it is, its labels, and the limits of its buckets if it is a duration."""


class Metrics:
    """The counters of one worker. There is one per process tree."""

    def __init__(self) -> None:
        """Choose where the processes of this worker keep their counts."""
        self._files, self._claim = claimed_folder()
        self._owner = os.getpid()
        os.environ[FILES] = self._files
        from prometheus_client import CollectorRegistry, Counter, Histogram, values

        # Flower's command has imported the library by now, and it looks at the variable only then.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        self._meters: dict[str, Counter | Histogram] = {}
        for name, (text, labels, buckets) in METERS.items():
            kind = partial(Histogram, buckets=buckets) if buckets else Counter
            self._meters[name] = kind(f"lockstep_{name}", text, labels, registry=own)

    def __getitem__(self, name: str) -> Any:
        """Return one of METERS."""
        return self._meters[name]

    def serve(self, address: str, port: int, read: Callable[[], Figures]) -> Callable[[], None]:
        """Answer on a port, with what `read` says of the record; return what ends that."""
        from prometheus_client import CollectorRegistry, make_wsgi_app
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=self._files)  # type: ignore[no-untyped-call]
        registry.register(RecordCollector(read))
        server = MetricsServer((address, port), MetricsRequest)
        server.set_app(make_wsgi_app(registry))
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()

        def stop() -> None:
            if os.getpid() == self._owner:
                server.shutdown()
                server.server_close()
                thread.join()
                shutil.rmtree(self._files, ignore_errors=True)
                self._claim.close()

        return stop


class RecordCollector:
    """Collects what the record holds at the moment of a look."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        try:
            now = self._read()
        except StoreUnavailable:
            yield GaugeMetricFamily("lockstep_record_up", "Whether the record can be read.", 0)
            return
        yield GaugeMetricFamily("lockstep_record_up", "Whether the record can be read.", 1)
        for name, (attribute, text, label) in GAUGES.items():
            known = getattr(now, attribute)
            family = GaugeMetricFamily(f"lockstep_{name}", text, labels=[label] if label else None)
            for keys, value in [([key], each) for key, each in known.items()] if label else [([], known)]:
                family.add_metric(keys, value)
            yield family


_counting: list[Metrics] = []
"""At most one: what this worker counts with."""


def count_with(metrics: Metrics) -> None:
    """Count from now on, in this process and its children."""
    _counting[:] = [metrics]


def count(name: str, *labels: str, by: float = 1) -> None:
    """Add to one of METERS."""
    assert name in METERS, name
    for metrics in _counting:
        (metrics[name].labels(*labels) if labels else metrics[name]).inc(by)


def took(name: str, seconds: float, *labels: str) -> None:
    """Add a duration to one of METERS."""
    for metrics in _counting:
        metrics[name].labels(*labels).observe(seconds)


def step_done(task: str, outcome: str) -> None:
    """Count a step."""
    count("steps", task.removeprefix("lockstep."), outcome)


def call_watched(_: str, __: str) -> tuple[dict[str, str], Callable[[Carried], None]]:
    """Watch a call to a host: send nothing more with it, and count what it took."""
    return {}, call_carried


def call_carried(carried: Carried) -> None:
    """Count what carrying a call took."""
    phases = ("connect", carried.connected), ("tls", carried.secured), ("first_byte", carried.first_byte)
    for phase, seconds in (*phases, ("total", carried.total)):
        if seconds:
            took("call_phase_seconds", seconds, phase)
    count("call_bytes", "sent", by=carried.sent)
    count("call_bytes", "received", by=carried.received)
    count("requests", "kept" if carried.kept else "new")


def operation_ended(operation: Operation, first: Callable[[OperationId], bool]) -> None:
    """Count an operation's end, if `first` says that nobody did before."""
    if _counting and first(operation.id):
        labels = operation.action.value, operation.state.value
        count("operations", *labels)
        if (lasted := worked(operation)) is not None:
            took("operation_seconds", lasted / 1000, *labels)


def rollback_begun(operation: Operation, first: Callable[[OperationId], bool]) -> None:
    """Count an operation that is being undone, if `first` says that nobody did before."""
    if _counting and first(operation.id):
        count("rollbacks", operation.action.value)
