"""What a worker counts, for Prometheus; nothing is counted unless a port is set.

Counts are kept in files, one per process, so that prefork's children are seen too. What the record holds is
read from it whenever somebody looks: every worker shows the same, so take the maximum over workers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lockstep.worker.monitoring.endpoint import Asked, Door
from lockstep.worker.operation.answer import Carried
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Operation, OperationId

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

FILES = "PROMETHEUS_MULTIPROC_DIR"
FOLDERS = "lockstep-metrics-"
CLAIM = "claim"
CALL_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
END_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand in the record, and what waits in the queues."""

    in_flight: int = 0
    stuck: int = 0
    pending_hosts: int = 0
    open_attempts: int = 0
    """Hosts with at least one."""
    drift: int = 0
    paused_hosts: int = 0
    spared_hosts: int = 0
    sweep_lag: float = 0.0
    """Seconds since the longest overdue operation was due."""
    failing: int = 0
    """Periodic pieces of work that failed when they were last tried."""
    patrol_overdue: int = 0
    """Groups that the patrol should have looked at by now."""
    patrol_lag: float = 0.0
    """Seconds since the longest overdue of them was due."""
    clocks_ahead: dict[str, float] = field(default_factory=dict)
    """Seconds, by process."""
    queues: dict[str, int] = field(default_factory=dict)
    waiting_hosts: dict[str, int] = field(default_factory=dict)
    """Hosts on which something is to be done now, begun or not, by queue."""
    workers_wanted: dict[str, float] = field(default_factory=dict)
    """Workers that those hosts would occupy, by queue."""
    stalled: dict[str, float] = field(default_factory=dict)
    """Seconds since a worker stood still and ended itself, by its name; those of the last day."""


GAUGES: dict[str, tuple[str, Callable[[Standing], float]]] = {
    "operations_in_flight": ("Operations that have not ended.", lambda now: now.in_flight),
    "operations_stuck": (
        "Operations that have not ended after twice their deadline.",
        lambda now: now.stuck,
    ),
    "pending_hosts": ("Hosts that are still to be restored.", lambda now: now.pending_hosts),
    "open_attempts": ("Hosts with a write of unknown fate.", lambda now: now.open_attempts),
    "drift": ("Hosts that differ from what the record says.", lambda now: now.drift),
    "paused_hosts": ("Hosts that new operations are kept off.", lambda now: now.paused_hosts),
    "spared_hosts": ("Hosts that are spared, for they do not answer.", lambda now: now.spared_hosts),
    "sweep_lag_seconds": ("Since the longest overdue operation was due.", lambda now: now.sweep_lag),
    "failing": ("Periodic pieces of work that failed when they were last tried.", lambda now: now.failing),
    "patrol_overdue": ("Groups that the patrol should have looked at.", lambda now: now.patrol_overdue),
    "patrol_lag_seconds": ("Since the longest overdue group was due.", lambda now: now.patrol_lag),
}
LABELLED: dict[str, tuple[str, str, Callable[[Standing], Mapping[str, float]]]] = {
    "queue_length": ("Messages that wait.", "queue", lambda now: now.queues),
    "waiting_hosts": ("Hosts that wait for a worker, or have one.", "queue", lambda now: now.waiting_hosts),
    "workers_wanted": ("Workers that they would occupy.", "queue", lambda now: now.workers_wanted),
    "clock_ahead_seconds": ("Of Redis'; negative: behind.", "process", lambda now: now.clocks_ahead),
    "worker_stalled_seconds": ("Since a worker stood still.", "worker", lambda now: now.stalled),
}
"""Gauges that are told by a label: what for, its name, and the values."""


def _claimed_folder() -> tuple[str, TextIO]:
    """Make a folder that says by a lock whether its worker lives; remove those of workers that were killed.

    The lock goes with the last process of the worker, whatever ended it.
    """
    for claim in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/{CLAIM}"):
        with suppress(OSError), claim.open("w") as file:  # another user's, or one whose worker lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(claim.parent, ignore_errors=True)
    while True:
        claim = Path(tempfile.mkdtemp(prefix=FOLDERS)) / CLAIM
        file = claim.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        if claim.exists():
            return str(claim.parent), file
        file.close()  # another worker that starts just now took it for a dead one's


class Metrics:
    """The counters of one worker. There is one per process tree."""

    def __init__(self) -> None:
        """Choose where the processes of this worker keep their counts."""
        self._files, self._claim = _claimed_folder()
        self._owner = os.getpid()
        os.environ[FILES] = self._files
        from prometheus_client import CollectorRegistry, Counter, Histogram, values

        # Flower's command has imported the library by now, and it looks at the variable only then.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        self.steps = Counter(
            "lockstep_steps", "Steps by what they came to.", ["task", "outcome"], registry=own
        )
        self.attempts = Counter(
            "lockstep_attempts", "Calls to hosts by what they said.", ["call", "answer"], registry=own
        )
        self.call_seconds = Histogram(
            "lockstep_call_seconds", "How long hosts took.", ["call"], registry=own, buckets=CALL_SECONDS
        )
        self.phases = Histogram(
            "lockstep_call_phase_seconds",
            "From the begin of a call until its connection, TLS, the first byte and all of it were there.",
            ["phase"],
            registry=own,
            buckets=CALL_SECONDS,
        )
        self.bytes = Counter("lockstep_call_bytes", "Sent to hosts, and received.", ["way"], registry=own)
        self.requests = Counter(
            "lockstep_requests", "Calls by the connection that they went over.", ["connection"], registry=own
        )
        self.operations = Counter(
            "lockstep_operations", "Operations by their end.", ["action", "end"], registry=own
        )
        self.rollbacks = Counter(
            "lockstep_rollbacks", "Operations that were decided to be undone.", ["action"], registry=own
        )
        self.end_seconds = Histogram(
            "lockstep_operation_seconds",
            "From acceptance to the end.",
            ["action", "end"],
            registry=own,
            buckets=END_SECONDS,
        )
        self.sweeps = Counter("lockstep_sweeps", "Sweeps that were done.", registry=own)
        self.dropped = Counter(
            "lockstep_messages_dropped", "Messages that nothing of ours can have sent.", registry=own
        )
        self.failures = Counter(
            "lockstep_not_done",
            "Sweeps, patrols and looks of the patrol that failed.",
            ["work"],
            registry=own,
        )
        self.redis_errors = Counter(
            "lockstep_redis_errors", "Tasks that could not reach Redis.", registry=own
        )

        self.steps_raised = Counter(
            "lockstep_steps_raised", "Steps that failed with an error of the code.", ["task"], registry=own
        )
        self.records_gone = Counter(
            "lockstep_messages_without_record",
            "Messages about an operation that has no record.",
            registry=own,
        )

    def ended(self, operation: Operation) -> None:
        """Count an operation that has come to its end."""
        labels = (operation.action.value, operation.state.value)
        self.operations.labels(*labels).inc()
        at = operation.ended_at or operation.decided_at
        if at is not None:
            self.end_seconds.labels(*labels).observe((at - operation.created_at) / 1000)

    def serve(self, address: str, port: int, read: Callable[[], Standing]) -> Callable[[], None]:
        """Answer on a port, with what `read` says of the record; return what ends that."""
        from prometheus_client import CollectorRegistry, make_wsgi_app
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=self._files)  # type: ignore[no-untyped-call]
        registry.register(Record(read))
        server = Door((address, port), Asked)
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


class Record:
    """Collects what the record holds at the moment of a look."""

    def __init__(self, read: Callable[[], Standing]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        try:
            now = self._read()
        except StoreUnavailable:
            yield GaugeMetricFamily("lockstep_record_up", "Whether the record can be read.", 0)
            return
        yield GaugeMetricFamily("lockstep_record_up", "Whether the record can be read.", 1)
        for name, (text, value) in GAUGES.items():
            yield GaugeMetricFamily(f"lockstep_{name}", text, value(now))
        for name, (text, label, values) in LABELLED.items():
            family = GaugeMetricFamily(f"lockstep_{name}", text, labels=[label])
            for each, number in values(now).items():
                family.add_metric([each], number)
            yield family


_counting: list[Metrics] = []
"""At most one: what this worker counts with."""


def count_with(metrics: Metrics) -> None:
    """Count from now on, in this process and its children."""
    _counting[:] = [metrics]


def step_done(task: str, outcome: str) -> None:
    """Count a step."""
    for metrics in _counting:
        metrics.steps.labels(task.removeprefix("lockstep."), outcome).inc()


def call_answered(call: str, answer: str, seconds: float) -> None:
    """Count a call to a host."""
    for metrics in _counting:
        metrics.attempts.labels(call, answer).inc()
        metrics.call_seconds.labels(call).observe(seconds)


def call_watched(_: str, __: str) -> tuple[dict[str, str], Callable[[Carried], None]]:
    """Watch a call to a host: send nothing more with it, and count what it took."""
    return {}, call_carried


def call_carried(carried: Carried) -> None:
    """Count what carrying a call took."""
    phases = ("connect", carried.connected), ("tls", carried.secured), ("first_byte", carried.first_byte)
    for metrics in _counting:
        for phase, seconds in (*phases, ("total", carried.total)):
            if seconds:
                metrics.phases.labels(phase).observe(seconds)
        metrics.bytes.labels("sent").inc(carried.sent)
        metrics.bytes.labels("received").inc(carried.received)
        metrics.requests.labels("kept" if carried.kept else "new").inc()


def operation_ended(operation: Operation, first: Callable[[OperationId], bool]) -> None:
    """Count an operation's end, if `first` says that nobody did before."""
    for metrics in _counting:
        if first(operation.id):
            metrics.ended(operation)


def rollback_begun(operation: Operation, first: Callable[[OperationId], bool]) -> None:
    """Count an operation that is being undone, if `first` says that nobody did before."""
    for metrics in _counting:
        if first(operation.id):
            metrics.rollbacks.labels(operation.action.value).inc()


def swept() -> None:
    """Count a sweep."""
    for metrics in _counting:
        metrics.sweeps.inc()


def failed(name: str) -> None:
    """Count a periodic piece of work that was not done."""
    for metrics in _counting:
        metrics.failures.labels(name).inc()


def step_raised(task: str) -> None:
    """Count a step that raised what it must not raise."""
    for metrics in _counting:
        metrics.steps_raised.labels(task.removeprefix("lockstep.")).inc()


def record_gone() -> None:
    """Count a message about an operation that has no record."""
    for metrics in _counting:
        metrics.records_gone.inc()


def message_dropped(**_: object) -> None:
    """Count a message that is no task's, or of which the record says otherwise."""
    for metrics in _counting:
        metrics.dropped.inc()


def redis_failed() -> None:
    """Count a task that could not reach Redis."""
    for metrics in _counting:
        metrics.redis_errors.inc()
