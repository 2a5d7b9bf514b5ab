"""One host's API over HTTP, and real time and chance."""

from __future__ import annotations

import base64
import json
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.worker.hosts.request import Call, Carry
from lockstep.worker.operation.answer import (
    METHODS,
    NoReply,
    ProbeAnswer,
    Reply,
    Request,
    Trouble,
    WriteAnswer,
    classify_probe,
    classify_write,
)
from lockstep.worker.operation.content import Id, Said, Shown
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.ports import Clock, Stopping
from lockstep.worker.secrets import know
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds import Kind, Verb

_SUSPENSION_COUNTS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC does the same."""


class SystemClock:
    """The Clock of real workers."""

    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""
        return time.clock_gettime(_SUSPENSION_COUNTS)

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""
        return AttemptId(secrets.token_hex(8))


_WITH_CONTENT = ("POST", "PUT", "PATCH")
"""Servers expect these to say how long their content is, even if there is none: some answer 411."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


def never() -> bool:
    """The `stopping` of a process that is not a worker."""
    return False


@dataclass(frozen=True, slots=True)
class HostClient:
    """The HostApi of one host."""

    host: Host
    settings: Settings
    carry: Carry
    clock: Clock = field(default_factory=SystemClock)
    stopping: Callable[[], bool] = never

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group. Raises Stopping if the worker is being stopped before it is answered."""
        return classify_probe(group, self.ask(Request("GET", f"/v1/group/{group}/")))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `send_before` has passed when bytes would leave."""
        payload = body or json.dumps({"groupId": group})
        headers = {"Content-Type": "application/json"}
        request = Request(METHODS[action], "/v1/group/", headers, payload.encode())
        said = self._send(request, attempt, send_before)
        return replace(classify_write(action, group, said), shows_after=self.host.shows_after)

    def look(self, kind: Kind, thing: Id) -> Shown:
        """Look at a thing, and at the witness of its absence. Raises Stopping as `probe` does."""
        shown = kind.shown(thing, said := self.ask(kind.request("look", thing)))
        witness = kind.witness(thing)
        if isinstance(said, Reply) and witness is not None and shown.needs_witness:
            return kind.shown(thing, said, self.ask(witness))
        return shown

    def send(
        self,
        kind: Kind,
        verb: Verb,
        thing: Id,
        request: Request,
        attempt: AttemptId,
        send_before: float,
        hidden: Iterable[str] = (),
    ) -> Said:
        """Send a write, unless `send_before` has passed when bytes would leave; `hidden`: see `Kind.said`."""
        return kind.said(verb, thing, self._send(request, attempt, send_before), hidden)

    def unwell(self, path: str) -> str | None:
        """GET a path below the host's URL; return None for any 2xx, else what came, in a few words."""
        said = self.ask(Request("GET", path))
        if isinstance(said, NoReply):
            return said.text
        return None if 200 <= said.status < 300 else str(said.status)

    def ask(self, request: Request) -> Reply | NoReply:
        """Send a request that changes nothing. Raises Stopping as `probe` does."""
        if not self.stopping():
            said = self._call(request, {}, lambda: True)
            if not (isinstance(said, NoReply) and self.stopping()):
                return said
        raise Stopping

    def _send(self, request: Request, attempt: AttemptId, send_before: float) -> Reply | NoReply:
        def in_time() -> bool:
            return self.clock.elapsed() < send_before and not self.stopping()

        return self._call(request, {"X-Lockstep-Attempt": attempt}, in_time)

    def _call(self, request: Request, more: dict[str, str], may_send: Callable[[], bool]) -> Reply | NoReply:
        ends = time.monotonic() + self.settings.call_timeout
        if request.body is None and request.method in _WITH_CONTENT:
            more["Content-Length"] = "0"
        try:
            headers = {**request.headers, **more, **authorization(self.host)}
        except OSError as error:
            why = f" {error}" if isinstance(error, _NoToken) else f": {error.strerror}"
            noun = "token" if self.host.auth is None else "auth"
            return NoReply(Trouble.NOT_SENT, f"{noun} file of {self.host.name}{why}")
        return self.carry(
            Call(
                request.method,
                request.path,
                headers,
                request.body,
                host=self.host,
                settings=self.settings,
                ends=ends,
                may_send=may_send,
                stopping=self.stopping,
            )
        )


class _NoToken(OSError):
    """A file has no token that can be sent; the text says why, and nothing of the file."""


def authorization(host: Host) -> dict[str, str]:
    """Return the header that lets us in, read from the host's file. Raises OSError, with nothing of it."""
    if host.credentials is None:
        return {}
    content = Path(host.credentials).read_bytes()
    know(content.decode("latin-1"))  # masked from now on, whether it can be sent or not
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _NoToken("is not UTF-8 text") from None
    know(text)
    if not text:
        raise _NoToken("is empty")
    if host.auth is not None and host.auth.basic:
        user, colon, password = text.partition(":")
        know(password)
        if not user or not colon or not text.isprintable():
            raise _NoToken("has no `user:password` on one line")
        know(encoded := base64.b64encode(text.encode()).decode())
        return {host.auth.header: f"Basic {encoded}"}
    if not _TOKEN.fullmatch(text):
        raise _NoToken("has more than one word, or characters that a header cannot carry")
    return {"Authorization": f"Bearer {text}"} if host.auth is None else {host.auth.header: text}
