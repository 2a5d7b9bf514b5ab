"""Calls through requests, over pooled connections."""

from __future__ import annotations

import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ReadTimeoutError

from worker.forks import leave_to_parent, renew_in_children
from worker.transport.exchange import HEADERS, Answer, Request, ShortBody
from worker.transport.guard import WholeResponse, before_sending

POOLED_HOSTS = 64
"""Connections kept open per thread; a larger cluster costs a handshake now and then."""
CHUNK = 16_384


class _Sessions:
    """A session for each thread of this process."""

    def __init__(self) -> None:
        self.local = threading.local()
        renew_in_children(self)  # whichever process reads first would get the other's answer

    def start_anew(self) -> None:
        leave_to_parent(self.local)
        self.local = threading.local()


_sessions = _Sessions()


class GuardedConnection(HTTPConnection):
    response_class = WholeResponse

    def send(self, data: Any) -> None:
        before_sending(self)
        super().send(data)


class GuardedTLSConnection(HTTPSConnection):
    response_class = WholeResponse

    def send(self, data: Any) -> None:
        before_sending(self)
        super().send(data)


class _Pool(HTTPConnectionPool):
    ConnectionCls = GuardedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = GuardedTLSConnection


class GuardedAdapter(HTTPAdapter):
    """A requests adapter whose connections ask the thread's current call before the first byte leaves."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pool manager with guarded connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


def exchange(request: Request) -> Answer:
    """Send a request and read its answer. Raises TooLate, and what requests, urllib3 and sockets raise."""
    with _session().request(
        request.method,
        request.url,
        data=request.body,
        headers=request.headers,
        timeout=(request.connect_timeout, request.read_timeout),
        verify=request.verify,
        allow_redirects=False,
        stream=True,
    ) as response:
        body: bytearray | None = bytearray()
        try:
            for chunk in response.iter_content(CHUNK):
                body += chunk
                if len(body) > request.most:
                    body = None
                    break
        except requests.ConnectionError as error:
            if error.args and isinstance(error.args[0], ReadTimeoutError):
                raise ShortBody from error
            raise
        return Answer(response.status_code, None if body is None else bytes(body), response.headers)


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_sessions.local, "session", None)
    if session is None:
        session = requests.Session()
        session.trust_env = False
        session.headers = requests.structures.CaseInsensitiveDict(HEADERS)
        adapter = GuardedAdapter(max_retries=0, pool_connections=POOLED_HOSTS, pool_maxsize=1)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        _sessions.local.session = session
    return session
