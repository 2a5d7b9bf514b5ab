"""A HostClient for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Carry, HostClient, SystemClock
from lockstep.worker.operation.answer import in_time
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import Clock, Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName
from lockstep.worker.settings import Settings

URL = "http://node1:8080"
G = GroupId("g")
ATTEMPT = AttemptId("a1")
carry: Carry = curl.exchange
"""What carries the calls; the fixture `exchange` changes it."""


def client(
    url: str = URL,
    *,
    stopping: Callable[[], bool] = lambda: False,
    token_file: str | None = None,
    **settings: Any,
) -> HostClient:
    """The client of one host, with the settings that a test is about."""
    host = Host(HostName("node1"), url, token_file=token_file)
    return HostClient(host, Settings(**settings), carry, stopping)


def write(
    host: HostClient,
    action: Action = Action.CREATE,
    within: float = 60.0,
    body: str | None = None,
    clock: Clock | None = None,
) -> WriteAnswer:
    """Send a write that may leave within so many seconds."""
    return host.write(action, G, ATTEMPT, in_time(clock or SystemClock(), within), body)
