"""What keeps a late write from leaving, and a call from outlasting its time, over any HTTP connection."""

from __future__ import annotations

import contextlib
import heapq
import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any


class TooLate(Exception):
    """The guard refused to let the first byte leave."""


class Call:
    """One HTTP call in this thread: whether bytes have left, and when it has to be over."""

    def __init__(self, deadline: float, may_send: Callable[[], bool]) -> None:
        self.deadline = deadline
        """By `time.monotonic`."""
        self.may_send = may_send
        self.sent = False
        self.expired = False


_current = threading.local()


class CallInProgress:
    """Binds a call to this thread, so that its connection finds it; ends the watch on leaving."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __enter__(self) -> Call:
        _current.call = self.call
        _current.watches = []
        return self.call

    def __exit__(self, *_: object) -> None:
        for watch in _current.watches:
            watch.cancel()
        _current.call = None


class Watch:
    """A socket that is shut down when its call's deadline passes."""

    def __init__(self, call: Call, sock: socket.socket) -> None:
        self._call = call
        self._sock = sock
        self._lock = threading.Lock()
        self._over = False

    def cancel(self) -> None:
        """Leave the socket alone from now on."""
        with self._lock:
            self._over = True

    def expire(self) -> None:
        """Shut the socket down, so that whoever reads from it sees the end."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._call.expired = True
            with contextlib.suppress(OSError):  # the peer was faster
                self._sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One thread that expires watches; socket time-outs alone bound a silence, never a whole call."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, call: Call, sock: socket.socket) -> Watch:
        """Expire the socket at the call's deadline unless the watch is cancelled before."""
        watch = Watch(call, sock)
        with self._condition:
            heapq.heappush(self._heap, (call.deadline, next(self._order), watch))
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(target=self._run, name="call-watchdog", daemon=True)
                self._thread.start()
            self._condition.notify()
        return watch

    def _run(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    heapq.heappop(self._heap)[2].expire()
                self._condition.wait(self._heap[0][0] - now if self._heap else None)


_watchdog = Watchdog()


def before_sending(connection: http.client.HTTPConnection) -> None:
    """Connect if need be, and refuse the first byte if it would leave too late. Raises TooLate."""
    call: Call | None = getattr(_current, "call", None)
    if call is None:
        return
    if connection.sock is None:
        connection.connect()
    if not call.sent:
        if time.monotonic() >= call.deadline or not call.may_send():
            raise TooLate
        _current.watches.append(_watchdog.watch(call, connection.sock))
    call.sent = True


class _WholeLines:
    """Reads the head of an answer, and takes no end of file for the end of a line or of the head."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self.file.readline(limit)
        if not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected("answer cut short")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class WholeResponse(http.client.HTTPResponse):
    """An answer whose head must be complete: `HTTP/1.1 201 Cre` and then nothing is no 201."""

    def begin(self) -> None:
        """Read the head."""
        head: Any = _WholeLines(self.fp)
        self.fp = head
        super().begin()
        if self.fp is not None:  # an answer without a body is closed already
            self.fp = head.file
