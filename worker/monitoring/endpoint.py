"""What a worker tells Prometheus, and where it is asked: who comes takes little of it, and not for long.

Counts are kept in files, one per process, so that prefork's children are seen too. What the record holds is
read from it whenever somebody looks: every worker shows the same, so take the maximum over workers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from lockstep.worker.monitoring.metrics import METERS
from lockstep.worker.operation.errors import StoreUnavailable

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

FILES = "PROMETHEUS_MULTIPROC_DIR"
FOLDERS = "lockstep-metrics-"
CLAIM = "claim"
ASKED_AT_ONCE = 8
"""Requests under way; more are turned away. Prometheus asks one at a time."""
ASKING, LONGEST = 5.0, 15.0
"""Seconds for which a request may say nothing, and for which it may last."""

EVERY = "::"
"""Every address of this machine, those of IPv4 too, and those alone where there is no IPv6."""


class MetricsRequest(WSGIRequestHandler):
    """One request, of which nothing is logged."""

    timeout = ASKING
    """Seconds for which somebody may say nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers a few at a time, and each for a while: who only holds the line gets no thread of the worker."""

    daemon_threads = True
    request_queue_size = 128
    """A longer queue: nobody waits for a second while many are turned away."""

    def __init__(self, where: tuple[str, int], handler: type[MetricsRequest]) -> None:
        address, port = where
        if address == EVERY and not socket.has_dualstack_ipv6():
            address = "0.0.0.0"
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._begun: dict[socket.socket, float] = {}
        super().__init__((address, port), handler)

    def server_bind(self) -> None:
        """Bind without a look-up of this machine's name, which the base class waits for."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.server_address[0] != EVERY)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if one is left."""
        if len(self._begun) >= ASKED_AT_ONCE:
            self.shutdown_request(request)
            return
        self._begun[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            del self._begun[request]
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._begun[request]

    def service_actions(self) -> None:
        """Cut the lines whose time is over; called again and again while the server listens."""
        for request in list(self._begun):  # not of pairs: while one is made, another thread may end a request
            if time.monotonic() - self._begun.get(request, inf) > LONGEST:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a line that broke."""


def claimed_folder() -> tuple[str, TextIO]:
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


Figures = dict[str, Any]
"""How things stand in the record, and what waits in the queues: numbers by the names of GAUGES."""
GAUGES = {
    "operations_in_flight": ("Operations that have not ended.", ""),
    "operations_stuck": ("Operations that have not ended after twice their deadline.", ""),
    "pending_hosts": ("Hosts that are still to be restored.", ""),
    "open_attempts": ("Hosts with a write of unknown fate.", ""),
    "drift": ("Hosts that differ from what the record says.", ""),
    "paused_hosts": ("Hosts that new operations are kept off.", ""),
    "spared_hosts": ("Hosts that are spared, for they do not answer.", ""),
    "sweep_lag_seconds": ("Since the longest overdue operation was due.", ""),
    "failing": ("Periodic pieces of work that failed when they were last tried.", ""),
    "bake_overdue_seconds": ("Since a bake was over that the sweep has not ended.", ""),
    "patrol_overdue": ("Groups that the patrol should have looked at.", ""),
    "patrol_lag_seconds": ("Since the longest overdue group was due.", ""),
    "queue_length": ("Messages that wait.", "queue"),
    "waiting_hosts": ("Hosts that wait for a worker, or have one.", "queue"),
    "workers_wanted": ("Workers that they would occupy.", "queue"),
    "clock_ahead_seconds": ("Of Redis'; negative: behind.", "process"),
    "writes_in_line": ("Writes that wait for their turn at a limited host.", "host"),
    "write_places_taken": ("Writes that count to the limit of a host.", "host"),
    "wave": ("The wave at work.", "operation"),
    "held_seconds": ("Since somebody has held the operation.", "operation"),
    "baking_seconds": ("Since the wave at work was done.", "operation"),
    "worker_stalled_seconds": ("Since a worker stood still.", "worker"),
}
"""What each figure is, in seconds if it is a time, and the label that its keys are if it is a mapping."""


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
        self.meters: dict[str, Counter | Histogram] = {}
        for name, (text, labels, buckets) in METERS.items():
            kind = partial(Histogram, buckets=buckets) if buckets else Counter
            self.meters[name] = kind(f"lockstep_{name}", text, labels, registry=own)

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
        for name, (text, label) in GAUGES.items():
            known = now.get(name, {} if label else 0)
            family = GaugeMetricFamily(f"lockstep_{name}", text, labels=[label] if label else None)
            for keys, value in [([key], each) for key, each in known.items()] if label else [([], known)]:
                family.add_metric(keys, value)
            yield family
