"""The calls of a job, for tasks that block: GET, then POST; and DELETE to undo it."""

from __future__ import annotations

import threading
from typing import Protocol

import requests

from benchmarks.peers.peer import Http, http

TIMEOUT = 10
_local = threading.local()


class Requests(Protocol):
    """What `requests` and its sessions have in common."""

    def get(self, url: str, *, timeout: float) -> requests.Response: ...

    def post(self, url: str, *, json: object, timeout: float) -> requests.Response: ...

    def delete(self, url: str, *, json: object, timeout: float) -> requests.Response: ...


class Bare:
    """`requests.post` and the like: a new connection for every call."""

    get = staticmethod(requests.get)
    post = staticmethod(requests.post)
    delete = staticmethod(requests.delete)


def session() -> Requests:
    """Return this thread's session."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    found: requests.Session = _local.session
    return found


def bare_or_session() -> Requests:
    """Return bare `requests`, unless every candidate is to use a session."""
    return session() if http() is Http.SESSION else Bare


def create(client: Requests, url: str, group: str) -> bool:
    """Create the group on one host; False if it is there already, or the host refuses."""
    if client.get(f"{url}/v1/group/{group}/", timeout=TIMEOUT).status_code != 404:
        return False
    said = client.post(f"{url}/v1/group/", json={"groupId": group}, timeout=TIMEOUT)
    return said.status_code == 201


def undo(client: Requests, url: str, group: str) -> bool:
    """Delete the group from one host."""
    return client.delete(f"{url}/v1/group/", json={"groupId": group}, timeout=TIMEOUT).status_code == 200
