"""Where a worker keeps its counts and is asked for them: who comes takes little of it, and not for long."""

from __future__ import annotations

import fcntl
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

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
    """Whoever comes while many are turned away is not kept waiting for a second."""

    def __init__(self, where: tuple[str, int], handler: type[MetricsRequest]) -> None:
        address, port = where
        if address == EVERY and not socket.has_dualstack_ipv6():
            address = "0.0.0.0"
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._places = threading.BoundedSemaphore(ASKED_AT_ONCE)
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
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer; the line is cut once its time is over."""
        cut = threading.Timer(LONGEST, _cut, [request])
        cut.daemon = True
        cut.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a line that broke."""


def _cut(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


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
