"""Real time and chance."""

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

from lockstep.worker.hosts.request import Carry, Request
from lockstep.worker.operation.answer import (
    METHODS,
    NoReply,
    ProbeAnswer,
    Reply,
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
    from lockstep.worker.kinds import Request as KindRequest

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
        return classify_probe(group, self._read("GET", f"/v1/group/{group}/"))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `send_before` has passed when bytes would leave."""
        payload = body or json.dumps({"groupId": group})
        headers = {"Content-Type": "application/json", "X-Lockstep-Attempt": attempt}
        in_time = self._until(send_before)
        said = self._call(METHODS[action], "/v1/group/", payload.encode(), headers, in_time)
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
        request: KindRequest,
        attempt: AttemptId,
        send_before: float,
        hidden: Iterable[str] = (),
    ) -> Said:
        """Send a write, unless `send_before` has passed when bytes would leave; `hidden`: see `Kind.said`."""
        headers = {**request.headers, "X-Lockstep-Attempt": attempt}
        in_time = self._until(send_before)
        said = self._call(request.method, request.path, request.body, headers, in_time)
        return kind.said(verb, thing, said, hidden)

    def ask(self, request: KindRequest) -> Reply | NoReply:
        """Send a request that changes nothing. Raises Stopping as `probe` does."""
        return self._read(request.method, request.path, request.body, dict(request.headers))

    def unwell(self, path: str) -> str | None:
        """GET a path below the host's URL; return None for any 2xx, else what came, in a few words."""
        said = self._read("GET", path)
        if isinstance(said, NoReply):
            return said.text
        return None if 200 <= said.status < 300 else str(said.status)

    def _read(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply | NoReply:
        if not self.stopping():
            said = self._call(method, path, data, headers or {}, lambda: True)
            if not (isinstance(said, NoReply) and self.stopping()):
                return said
        raise Stopping

    def _until(self, send_before: float) -> Callable[[], bool]:
        return lambda: self.clock.elapsed() < send_before and not self.stopping()

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        may_send: Callable[[], bool],
    ) -> Reply | NoReply:
        ends = time.monotonic() + self.settings.call_timeout
        if data is None and method in _WITH_CONTENT:
            headers = {**headers, "Content-Length": "0"}
        try:
            headers = {**headers, **authorization(self.host)}
        except OSError as error:
            why = f" {error}" if isinstance(error, _NoToken) else f": {error.strerror}"
            noun = "token" if self.host.auth is None else "auth"
            return NoReply(Trouble.NOT_SENT, f"{noun} file of {self.host.name}{why}")
        return self.carry(
            Request(
                method,
                self.host.url + path,
                data,
                headers,
                verify=self.host.verify,
                cert=self.host.cert,
                server_name=self.host.server_name,
                connect_timeout=self.settings.connect_timeout,
                read_timeout=self.settings.read_timeout,
                ends=ends,
                most=self.settings.max_body_bytes,
                may_send=may_send,
                stopping=self.stopping,
            )
        )


def authorization(host: Host) -> dict[str, str]:
    """Return the header that lets us in, read from the host's file. Raises OSError, with nothing of it."""
    if host.credentials is None:
        return {}
    content = Path(host.credentials).read_bytes()
    if host.auth is None:
        return {"Authorization": f"Bearer {_token(content)}"}
    return {host.auth.header: f"Basic {_login(content)}" if host.auth.basic else _token(content)}


class _NoToken(OSError):
    """A file has no token that can be sent; the text says why, and nothing of the file."""


def _text(content: bytes) -> str:
    """Return the text of a file, which is masked from now on, whether it can be sent or not."""
    know(content.decode("latin-1"))
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _NoToken("is not UTF-8 text") from None
    know(text)
    if not text:
        raise _NoToken("is empty")
    return text


def _login(content: bytes) -> str:
    """Return `user:password` as Basic sends it."""
    text = _text(content)
    user, colon, password = text.partition(":")
    know(password)
    if not user or not colon or not text.isprintable():
        raise _NoToken("has no `user:password` on one line")
    encoded = base64.b64encode(text.encode()).decode()
    know(encoded)
    return encoded


def _token(content: bytes) -> str:
    token = _text(content)
    if not _TOKEN.fullmatch(token):
        raise _NoToken("has more than one word, or characters that a header cannot carry")
    return token
