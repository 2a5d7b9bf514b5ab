"""Calls through requests, over pooled connections."""

from __future__ import annotations

import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ReadTimeoutError

from lockstep.worker.forks import leave_to_parent, renew_in_children
from lockstep.worker.hosts.guard import HEADERS, Answer, Request, ShortBody, WholeResponse, before_sending

POOLED_HOSTS = 256
"""Hosts to each of which a connection is kept open; a larger cluster costs a handshake now and then."""
CHUNK = 16_384


class _Shared:
    """This process's session, for all of its threads: it has no cookies, and urllib3 shares its pools."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)  # whichever process reads first would get the other's answer

    def start_anew(self) -> None:
        leave_to_parent(getattr(self, "session", None))
        self._making = threading.Lock()
        self.session: requests.Session | None = None

    def get(self) -> requests.Session:
        """Return the session, made at its first use."""
        with self._making:
            if self.session is None:
                self.session = _session()
            return self.session


_shared = _Shared()


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
    with _shared.get().request(
        request.method,
        request.url,
        data=request.body,
        headers=request.headers,
        timeout=(request.connect_timeout, request.read_timeout),
        verify=request.verify,
        cert=request.cert,
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
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers = requests.structures.CaseInsensitiveDict(HEADERS)
    adapter = GuardedAdapter(max_retries=0, pool_connections=POOLED_HOSTS, pool_maxsize=1)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
