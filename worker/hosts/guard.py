"""One HTTP request and its answer, whatever carries them."""

from __future__ import annotations

import contextlib
import http
import http.client
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lockstep.worker.forks import renew_in_children

HEADERS = {"User-Agent": "lockstep", "Accept": "application/json", "Accept-Encoding": "identity"}
"""Sent with every request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent, and what bounds it; times in seconds."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    verify: bool | str
    """For https: True, False, or the path of a file with the certificate authorities to trust."""
    connect_timeout: float
    read_timeout: float
    most: int
    """Bytes of the answer's body that are read; a longer one is given up."""
    cert: tuple[str, str] | None = None
    """For https: the paths of the client's certificate and of its key."""


class ShortBody(OSError):
    """The answer's head came, and its body did not within the read timeout."""


class Headers(Protocol):
    """The headers of an answer, looked up without regard to case."""

    def get(self, name: str, /) -> str | None:
        """Return a header's value, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is None when it was too long."""

    status: int
    body: bytes | None
    headers: Headers


Exchange = Callable[[Request], Answer]
"""No redirects, no retries, no proxy from the environment. Raises TooLate when the guard refused, and what
its library raises."""


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
        self.sock: socket.socket | None = None
        """What is watched for its sake."""


_current = threading.local()


class CallInProgress:
    """Binds a call to this thread, so that its connection finds it; ends the watch on leaving."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __enter__(self) -> Call:
        _current.call = self.call
        return self.call

    def __exit__(self, *_: object) -> None:
        _watchdog.leave(self.call)
        _current.call = None


class Watchdog:
    """One thread that ends overlong calls; socket timeouts alone bound a silence, never a whole call."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        # Callers enter the lock itself: it is C code, and an interrupt cannot leave it held.
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._watched: dict[socket.socket, Call] = {}
        """By socket: a watch that an interrupt left behind ends with the next call over it."""
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, call: Call, sock: socket.socket) -> None:
        """Shut the socket down at the call's deadline, so that whoever reads from it sees the end."""
        with self._lock:
            call.sock = sock
            self._watched[sock] = call
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="call-watchdog", daemon=True)
                self._thread.start()
            elif call.deadline < self._looks_at:
                self._condition.notify()

    def leave(self, call: Call) -> None:
        """Leave the call's sockets alone from now on."""
        with self._lock:
            if call.sock is not None and self._watched.get(call.sock) is call:
                del self._watched[call.sock]

    def _run(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                for sock, call in [late for late in self._watched.items() if late[1].deadline <= now]:
                    call.expired = True
                    del self._watched[sock]
                    with contextlib.suppress(OSError):  # the peer was faster
                        # A TLS socket's own method would take its TLS from under who reads from it.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
                self._looks_at = min((call.deadline for call in self._watched.values()), default=math.inf)
                self._condition.wait(None if self._looks_at == math.inf else self._looks_at - now)


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
        _watchdog.watch(call, connection.sock)
    call.sent = True


def answered() -> bool:
    """End the watch, for the answer is whole; tell whether the connection was left standing."""
    call: Call | None = getattr(_current, "call", None)
    if call is None:
        return True
    _watchdog.leave(call)
    return not call.expired


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
    """An answer whose head must be complete: `HTTP/1.1 201 Cre` and then nothing is no 201.

    Nor is an interim answer (1xx, RFC 9110, 15.2) the answer: that one is still to come, and on a connection
    that was kept it would be taken for the next call's.
    """

    def begin(self) -> None:
        """Read the head, and those of interim answers before it."""
        head: Any = _WholeLines(self.fp)
        self.fp = head
        super().begin()
        while 100 <= self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # as before the first head
            super().begin()
        if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.will_close = True  # what follows is not HTTP
        if self.fp is not None:  # an answer without a body is closed already
            self.fp = head.file
