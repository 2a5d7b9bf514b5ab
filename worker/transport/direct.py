"""Calls over one connection per thread: for a thread that goes from host to host.

It costs a quarter of the CPU of `pooled`, where a task carries many hosts; docs/performance.md has the
figures. A thread keeps only the connection to its last host, so that ten thousand hosts are not ten thousand
open sockets.
"""

from __future__ import annotations

import functools
import http.client
import select
import ssl
import threading
from typing import Any
from urllib.parse import SplitResult, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from worker.transport.exchange import HEADERS, Answer, Request
from worker.transport.guard import WholeResponse, before_sending

_kept = threading.local()


class DirectConnection(http.client.HTTPConnection):
    """Guarded; sends the head of a request together with its body: one system call, and one packet."""

    response_class = WholeResponse
    read_timeout: float
    _head = b""
    _body_follows = False

    def begin(self, *, body: bool) -> None:
        """Begin a request, with a body or without; nothing of an earlier one is left."""
        self._head, self._body_follows = b"", body

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.read_timeout)

    def send(self, data: Any) -> None:
        if self._body_follows:
            self.begin(body=False)
            self._head = data
            return
        whole = self._head + data
        self._head = b""
        before_sending(self)
        super().send(whole)


class DirectTLSConnection(DirectConnection, http.client.HTTPSConnection):
    pass


def exchange(request: Request) -> Answer:
    """Send a request and read its answer. Raises TooLate, and what http.client, ssl and sockets raise."""
    url = urlsplit(request.url)
    connection = _connection(url, request)
    try:
        connection.begin(body=bool(request.body))
        connection.request(request.method, url.path, request.body, {**HEADERS, **request.headers})
        response = connection.getresponse()
        body = response.read(request.most + 1)
        whole = len(body) <= request.most
        if whole and response.length:
            raise http.client.IncompleteRead(body, response.length)
        if response.will_close or not response.isclosed():
            connection.close()
        return Answer(response.status, body if whole else None, response.headers)
    except BaseException:
        connection.close()
        raise


def _connection(url: SplitResult, request: Request) -> DirectConnection:
    """Return this thread's connection if it leads there and still stands, or a new one."""
    key = (url.scheme, url.netloc, request.verify)
    connection: DirectConnection | None = getattr(_kept, "connection", None)
    if connection is not None and (_kept.key != key or _dropped(connection)):
        connection.close()
        connection = None
    if connection is None:
        host = url.hostname or ""
        if url.scheme == "https":
            connection = DirectTLSConnection(host, url.port, context=_context(request.verify))
        else:
            connection = DirectConnection(host, url.port)
        _kept.key, _kept.connection = key, connection
    connection.timeout, connection.read_timeout = request.connect_timeout, request.read_timeout
    if connection.sock is not None:
        connection.sock.settimeout(request.read_timeout)
    return connection


def _dropped(connection: DirectConnection) -> bool:
    """Tell whether the other side has closed, or said something that nobody asked for."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


@functools.lru_cache(maxsize=64)
def _context(verify: bool | str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
