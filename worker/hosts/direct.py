"""Calls over http.client, for a quarter of the CPU of `pooled`; docs/performance.md has the figures.

A process keeps a connection to each of the hosts that it called last, for the next call to that host.
"""

from __future__ import annotations

import functools
import http.client
import os
import select
import ssl
import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import Any
from urllib.parse import SplitResult, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from lockstep.worker.forks import renew_in_children
from lockstep.worker.hosts.guard import (
    HEADERS,
    Answer,
    Exchange,
    Request,
    ShortBody,
    WholeResponse,
    answered,
    before_sending,
)

IDLE = 256
"""Connections kept open between calls: ten thousand hosts are not to be ten thousand sockets."""
Cert = tuple[str, str] | None
Key = tuple[str, str, bool | str, Cert]
"""Scheme, address, what is trusted and who calls."""


class DirectConnection(http.client.HTTPConnection):
    """Guarded; sends the head of a request together with its body: one system call, and one packet."""

    response_class = WholeResponse
    read_timeout: float
    _head = b""
    _body_follows = False

    def begin(self, request: Request) -> None:
        """Begin a request; nothing of an earlier one is left."""
        self._head, self._body_follows = b"", bool(request.body)
        self.timeout, self.read_timeout = request.connect_timeout, request.read_timeout
        if self.sock is not None:
            self.sock.settimeout(self.read_timeout)

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.read_timeout)

    def send(self, data: Any) -> None:
        if self._body_follows:
            self._head, self._body_follows = data, False
            return
        whole = self._head + data
        self._head = b""
        before_sending(self)
        super().send(whole)


class DirectTLSConnection(DirectConnection, http.client.HTTPSConnection):
    pass


class Idle:
    """Connections between two calls, one to a host; those unused for longest are closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.start_anew()
        renew_in_children(self)  # whichever process reads first would get the other's answer

    def start_anew(self) -> None:
        self._lock = threading.Lock()
        self._connections: OrderedDict[Key, DirectConnection] = OrderedDict()

    def take(self, key: Key) -> DirectConnection | None:
        """Return a connection that leads there and still stands; it is the caller's."""
        with self._lock:
            connection = self._connections.pop(key, None)
        if connection is not None and _dropped(connection):
            connection.close()
            return None
        return connection

    def keep(self, key: Key, connection: DirectConnection) -> None:
        """Take a connection back; one too many is closed."""
        with self._lock:
            others = [self._connections.pop(key, None)]
            self._connections[key] = connection
            if len(self._connections) > self._most:
                others.append(self._connections.popitem(last=False)[1])
        for other in others:
            if other is not None:
                other.close()

    def clear(self) -> None:
        """Close all."""
        with self._lock:
            connections, self._connections = self._connections, OrderedDict()
        for connection in connections.values():
            connection.close()


_idle = Idle(IDLE)


def exchange(request: Request) -> Answer:
    """Send a request and read its answer. Raises TooLate, and what http.client, ssl and sockets raise."""
    url = urlsplit(request.url)
    key = (url.scheme, url.netloc, request.verify, request.cert)
    connection = _idle.take(key) or _connection(url, request.verify, request.cert)
    try:
        connection.begin(request)
        connection.request(request.method, url.path, request.body, {**HEADERS, **request.headers})
        response = connection.getresponse()
        try:
            body = response.read(request.most + 1)
        except TimeoutError as error:
            raise ShortBody from error
        whole = len(body) <= request.most
        if whole and response.length:
            raise http.client.IncompleteRead(body, response.length)
    except BaseException:
        connection.close()
        raise
    if response.will_close or not response.isclosed() or not answered():
        connection.close()
    else:
        _idle.keep(key, connection)
    return Answer(response.status, body if whole else None, response.headers)


def _connection(url: SplitResult, verify: bool | str, cert: Cert) -> DirectConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return DirectTLSConnection(host, url.port, context=_tls(verify, cert))
    return DirectConnection(host, url.port)


def _dropped(connection: DirectConnection) -> bool:
    """Tell whether the other side has closed, or said something that nobody asked for."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _tls(verify: bool | str, cert: Cert) -> ssl.SSLContext:
    """Return what verifies a host, and shows our certificate; files are read when they are replaced.

    Raises OSError, ssl.SSLError too.
    """
    files = ((verify,) if isinstance(verify, str) else ()) + (cert or ())
    return _context(verify, cert, tuple(map(_version, files)))


def _version(file: str) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written. Raises OSError."""
    said = os.stat(file)  # noqa: PTH116
    return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns


@functools.lru_cache(maxsize=64)
def _context(verify: bool | str, cert: Cert, _: tuple[tuple[int, ...], ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(*cert, password=lambda: "")  # else OpenSSL asks on the terminal
    return context


carrier: ContextVar[Exchange] = ContextVar("carrier", default=exchange)
"""What carries the calls that are made in this context."""
