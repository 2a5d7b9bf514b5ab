"""Calls over requests: those that people ask for, and no worker makes; a session for each."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from math import ceil
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, ReadTimeoutError
from urllib3.util.connection import allowed_gai_family, create_connection

from lockstep.worker.hosts.client import HEADERS, UNTRUSTED, Call, Detail, NoTLS, no_tls, seconds_to_wait
from lockstep.worker.operation.answer import NoReply, Reply, Trouble

CHUNK = 16_384
MOST_HEADERS, LONGEST_HEADER, LARGEST_HEAD = 5000, 100 * 1024, 300 * 1024
"""What libcurl reads of an answer, by which steps call."""
KINDS = {
    "ConnectTimeout": "connect timeout",
    "ReadTimeout": Detail.SILENT,
    "ReadTimeoutError": Detail.SILENT,
    "FileNotFoundError": Detail.NO_FILE,
    "NameResolutionError": "name not resolved",
    "gaierror": "name not resolved",
    "SSLError": NoTLS(),
    "ConnectionRefusedError": "connection refused",
    "ConnectionResetError": "connection reset",
    "RemoteDisconnected": Detail.CLOSED,
}
"""Kinds of exceptions in words of ours: the texts of requests and urllib3 hold object addresses."""


class _TooLate(Exception):
    """The guard refused to let the first byte leave."""


class _Call:
    """The call that a thread makes, for the connection that it goes over."""

    def __init__(self, asked: Call) -> None:
        self.asked = asked
        self.sent = self.expired = False
        self._connected_by = asked.ends
        self._timer: threading.Timer | None = None

    def connects(self) -> None:
        """Begin the time to connect: only now, for a busy process may be slow to come so far."""
        self._connected_by = min(self.asked.ends, time.monotonic() + self.asked.settings.connect_timeout)

    @property
    def to_connect(self) -> float:
        """Seconds that are left to connect, with the handshake in them."""
        return self._connected_by - time.monotonic()

    def begin(self, sock: socket.socket) -> None:
        """Refuse the first byte if it would leave too late, and end the call when its time is over."""
        if self.sent:
            return
        if self.asked.left <= 0 or not self.asked.may_send():
            raise _TooLate
        self.sent = True
        sock.settimeout(self.asked.settings.read_timeout)
        self._timer = threading.Timer(self.asked.left, self._expire, [sock])
        self._timer.daemon = True
        self._timer.start()

    def _expire(self, sock: socket.socket) -> None:
        self.expired = True
        with contextlib.suppress(OSError):  # the peer was faster
            # A TLS socket's own method would take its TLS from under who reads from it.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def end(self) -> None:
        """Leave the socket alone from now on."""
        if self._timer is not None:
            self._timer.cancel()


_thread = threading.local()


class _Heads:
    """Reads the heads of an answer, and takes no end of file for the end of a line or of a head.

    http.client reads 100 lines of 64 KiB, and puts them together: it gets the lines of a head in blocks.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self._blocks: deque[bytes] | None = None
        """Of the head at hand; None before its status line."""

    def readline(self, limit: int) -> bytes:
        if self._blocks is None:
            self._blocks = deque()
            return self._line(limit)
        if not self._blocks:
            *lines, end = self._lines()
            text = b"".join(lines)
            size = ceil(len(text) / ceil(len(text) / (limit - 1))) if text else 1  # none looks like the end
            self._blocks += [text[at : at + size] for at in range(0, len(text), size)]
            self._blocks.append(end)
        block = self._blocks.popleft()
        if not self._blocks:
            self._blocks = None
        return block

    def _lines(self) -> Iterator[bytes]:
        left = LARGEST_HEAD
        for _ in range(MOST_HEADERS + 1):
            line = self._line(LONGEST_HEADER)
            left -= len(line)
            if len(line) == LONGEST_HEADER or left < 0:
                break
            yield line
            if line in (b"\r\n", b"\n"):
                return
        raise http.client.LineTooLong("headers")

    def _line(self, limit: int) -> bytes:
        line: bytes = self.file.readline(limit)
        if not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected("answer cut short")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _WholeResponse(http.client.HTTPResponse):
    """An answer whose head is complete: neither half a line nor an interim answer (RFC 9110, 15.2) is one."""

    def begin(self) -> None:
        heads: Any = _Heads(self.fp)
        self.fp = heads
        super().begin()
        while 100 <= self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # as before the first head
            super().begin()
        if self.fp is not None:  # an answer without a body is closed already
            self.fp = heads.file


class _Guarded(HTTPConnection):
    response_class = _WholeResponse

    def _new_conn(self) -> socket.socket:
        """Try each address, all of them within the time to connect."""
        call: _Call = _thread.call
        call.connects()
        failed = OSError()
        found = socket.getaddrinfo(self._dns_host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        if call.to_connect <= 0:
            raise TimeoutError
        for untried, (*_, place) in zip(range(len(found), 0, -1), found, strict=True):
            seconds = max(0.001, call.to_connect / untried)
            try:
                sock = create_connection((str(place[0]), self.port), seconds, None, self.socket_options)
            except OSError as error:
                failed = error
            else:
                sock.settimeout(max(0.001, call.to_connect))
                return sock
        raise failed

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.call.begin(self.sock)
        super().send(data)


class _GuardedTLS(_Guarded, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        sock: Any = self.sock
        sock.suppress_ragged_eofs = False  # a connection that is cut off is no end of a body


class _Adapter(HTTPAdapter):
    """An adapter whose connections ask the thread's call before the first byte leaves."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _GuardedTLS if pool.scheme == "https" else _Guarded
        if name := _thread.call.asked.host.server_name:
            pool.conn_kw["server_hostname"] = name
        return pool


def exchange(asked: Call) -> Reply | NoReply:
    """Carry one call over a connection of its own."""
    call = _thread.call = _Call(asked)
    try:
        said = _ask(asked)
    except _TooLate:
        return NoReply(Trouble.TOO_LATE, Detail.TOO_LATE)
    except (requests.RequestException, OSError, ValueError, http.client.HTTPException) as error:
        if not call.expired and not (call.sent and asked.left <= 0):  # whose timer may come late
            return _trouble(error, sent=call.sent)
    else:
        if not call.expired:
            return said
    finally:
        call.end()
    return NoReply(Trouble.LOST, Detail.OVERLONG)


def _ask(asked: Call) -> Reply:
    host, settings = asked.host, asked.settings
    with requests.Session() as session:
        session.trust_env = False
        session.headers = requests.structures.CaseInsensitiveDict(HEADERS)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter())
        with session.request(
            asked.method,
            asked.url,
            data=asked.body,
            headers=dict(asked.headers),
            timeout=(settings.connect_timeout, settings.read_timeout),
            verify=host.verify,
            cert=host.cert,
            allow_redirects=False,
            stream=True,
        ) as response:
            body: bytearray | None = bytearray()
            for chunk in response.iter_content(CHUNK):
                body += chunk
                if len(body) > settings.max_body_bytes:
                    body = None
                    break
            wait = seconds_to_wait(response.headers.get("Retry-After"), response.headers.get("Date"))
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, None if body is None else bytes(body), wait, headers)


def _trouble(error: BaseException, *, sent: bool) -> NoReply:
    causes = list(_causes(error))
    flaw = next((flaw for each in causes if (flaw := _flaw(each)) is not None), None) if sent else None
    if flaw:
        return NoReply(Trouble.UNREADABLE, flaw)
    found = "connection error"
    for each in causes:
        late = Detail.SILENT if sent else "connect timeout"
        found = late if isinstance(each, TimeoutError) else KINDS.get(type(each).__name__, found)
        if isinstance(each, ssl.SSLCertVerificationError):
            found = UNTRUSTED.get(getattr(each, "verify_code", 0), NoTLS())
        elif isinstance(each, ssl.SSLError):
            found = no_tls(str(each.reason or ""))
    return NoReply(Trouble.LOST if sent else Trouble.NOT_SENT, found)


def _flaw(error: BaseException) -> str | None:
    """Say why an answer cannot be read, "" if the error says that none came; None if it says neither."""
    match error:
        case http.client.RemoteDisconnected():
            return ""
        case requests.ConnectionError() if error.args and isinstance(error.args[0], ReadTimeoutError):
            return Detail.STILL
        case http.client.IncompleteRead():
            return Detail.SHORT
        case http.client.LineTooLong():
            return Detail.TOO_LARGE
        case http.client.BadStatusLine() | http.client.UnknownProtocol():
            return Detail.NO_HTTP
        case DecodeError():
            return Detail.BADLY_ENCODED
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        reason = seen.args[0] if seen.args else None
        inner = getattr(reason, "reason", reason)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
