"""A worker that stops at one named point, for ever: `celery -A tests.integration.worker.held worker`.

HOLD_AT names the point, and HOLD_MARK a file that is written when it is reached. With the mark there already
nothing is held, so that a second process goes through.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycurl

from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.hosts.client import Call
from lockstep.worker.hosts.transfer import Transfer
from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.answer import METHODS, HostApi, LookAnswer
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName
from lockstep.worker.record.link import connect
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings, load_settings
from lockstep.worker.tasks.runtime import Runtime, wrapped_host
from tests.groups_alone import GroupsAlone

FROZEN = "frozen "
BODY_SENT = 4
"""What libcurl calls CURLINFO_DATA_OUT."""
POINTS = (
    "before begin",
    "after begin",
    "after POST sent",
    "after POST answered",
    "after finish",
    "before claim",
    "after claim",
    "before gate_seen",
    "after gate_seen",
    "before begin_undo",
    "after begin_undo",
    "after DELETE sent",
    "after DELETE answered",
    "after finish of undo",
    "between settle GETs",
)


def hold(point: str) -> None:
    """Block for ever if this is the point and nobody was held yet; a `frozen` point stops the process."""
    mark = Path(os.environ["HOLD_MARK"])
    at = os.environ["HOLD_AT"]
    if at.removeprefix(FROZEN) != point or mark.exists():
        return
    mark.write_text(str(os.getpid()))
    if at.startswith(FROZEN):
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        threading.Event().wait()


class HeldStore(RedisStore):
    """The real store, with a point before and after each transition that matters."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("begin", "finish", "claim", "begin_undo", "settle", "gate_seen"):
            return found

        def held(*args: Any, **kwargs: Any) -> Any:
            point = "finish of undo" if "lost_fields" in kwargs else name
            hold(f"before {point}")
            result = found(*args, **kwargs)
            hold(f"after {point}")
            if name == "settle" and result.open and result.again_at:
                hold("between settle GETs")
            return result

        return held


class HeldHost(GroupsAlone):
    """The real host client, with a point after the answer to a write."""

    def __init__(self, inner: HostApi) -> None:
        self._inner = inner
        self.fingerprint = inner.fingerprint

    def look_at_group(self, group: GroupId) -> LookAnswer:
        """GET the group."""
        return self._inner.look_at_group(group)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        """Write, and perhaps stop with the answer in hand."""
        answer = self._inner.write(action, group, attempt, may_send, body)
        hold(f"after {METHODS[action]} answered")
        return answer

    def unwell(self, path: str) -> str | None:
        """Ask for its health."""
        return self._inner.unwell(path)


def hold_after_sending() -> None:
    """Stop once a whole request with a body has left, over whatever connection."""
    begin = Transfer.__init__

    def held(self: Transfer, asked: Call, *given: Any, **named: Any) -> None:
        def told(kind: int, _: bytes) -> None:
            if kind == BODY_SENT:
                hold(f"after {asked.method} sent")

        begin(self, asked, *given, **named)
        self.curl.setopt(pycurl.VERBOSE, 1)
        self.curl.setopt(pycurl.DEBUGFUNCTION, told)

    Transfer.__init__ = held  # type: ignore[method-assign]


def build_runtime(settings: Settings) -> Runtime:
    """The real parts, wrapped."""
    store = connect(settings)
    store.__class__ = HeldStore
    inventory = load_inventory(settings)

    def wrapped(name: HostName) -> HostApi | None:
        host = wrapped_host(settings, inventory.find(name), None)
        return HeldHost(host) if host else None

    return Runtime(settings, store, wrapped, wrapped)


class HeldApp(Lockstep):
    """The real application with wrapped parts."""

    build_runtime: Callable[[Settings], Runtime]


def _app() -> Lockstep:
    application = make_app(load_settings())
    application.build_runtime = staticmethod(build_runtime)  # type: ignore[attr-defined]
    hold_after_sending()
    return application


app = _app()
