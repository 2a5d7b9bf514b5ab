"""How a host is asked, and what it said, classified: the table of the protocol as two pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from lockstep.worker.operation.content import Effect, Flaw, Id, Shown, WriteAnswer
from lockstep.worker.operation.host import Clock, MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, Presence, Seen


class Trouble(StrEnum):
    """Why there is no complete reply."""

    NOT_SENT = "not sent"
    """Name not resolved, refused, no route, connect timeout, TLS: no byte of the request has left."""
    TOO_LATE = "too late to send"
    """The `send_by` guard stopped the write before its first byte."""
    LOST = "answer lost"
    """Write or read timeout, reset, EOF: the request may have arrived."""
    UNREADABLE = "unreadable"
    """An answer came, and cannot be read: no HTTP, too many headers, a body not as long as it says."""
    REPLACED = "401 to a token that was replaced meanwhile"
    """The host did nothing, and may do it for the new one."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    """Below the host's URL: absolute, percent-encoded, with the query, in ASCII, as it leaves."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer. `body` is None when it was longer than the cap."""

    status: int
    body: bytes | None = b""
    retry_after: float | None = None
    """Seconds, from the Retry-After header."""
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)
    """By name in lower case."""

    @property
    def wait(self) -> float | None:
        """Seconds until another try, of an answer that asks for one."""
        return self.retry_after if self.status in (429, 503) else None


@dataclass(frozen=True, slots=True)
class NoReply:
    trouble: Trouble
    detail: str = ""

    @property
    def text(self) -> str:
        return f"{self.trouble}: {self.detail}" if self.detail else self.trouble.value

    @property
    def flaw(self) -> Flaw:
        return Flaw.UNREADABLE if self.trouble is Trouble.UNREADABLE else Flaw.SILENT

    def of_write(self, unsent: Effect) -> WriteAnswer:
        """Return what came of a write; `unsent` if not a byte of it has left."""
        lost = self.trouble in (Trouble.LOST, Trouble.UNREADABLE)
        unreadable = self.trouble is Trouble.UNREADABLE
        return WriteAnswer(Effect.UNKNOWN if lost else unsent, self.text, unreadable=unreadable)


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What carrying one call took: seconds from its begin, and bytes."""

    connected: float
    """0 over a connection that was kept, as is the next."""
    secured: float
    """When TLS stood; 0 without."""
    first_byte: float
    total: float
    sent: int
    received: int
    kept: bool
    """Whether it went over a connection that another call had opened."""
    status: int
    """0 without an answer."""


CallWatch = tuple[Mapping[str, str], Callable[[CallFigures | None], None]]
"""What to send with a call that is watched, and whom to tell what it took; None if it was never begun."""


class LookVerdict(StrEnum):
    SEEN = "seen"
    NO_INFORMATION = "no information"
    MISCONFIGURED = "no information, and a configuration error"
    OVERSIZED = "present, with a body over the cap"


@dataclass(frozen=True, slots=True)
class LookAnswer:
    """A classified answer to a GET; `seen` is set if and only if `verdict` is SEEN."""

    verdict: LookVerdict
    text: str
    seen: Seen | None = None
    retry_after: float | None = None
    flaw: Flaw | None = None
    """SILENT if no answer came, UNREADABLE if none that can be read; an error can be."""

    @property
    def presence(self) -> Presence | None:
        """What the host holds; a body over the cap tells that too. None without information."""
        if self.verdict is LookVerdict.OVERSIZED:
            return Presence.PRESENT
        return self.seen.presence if self.seen else None


METHODS = {Action.CREATE: "POST", Action.DELETE: "DELETE"}
_BY_BOTH = {400: Effect.CONTESTED} | dict.fromkeys((401, 403, 405, 413, 415, 422), Effect.REFUSED)
EFFECTS = {
    Action.CREATE: _BY_BOTH | {201: Effect.APPLIED, 409: Effect.CONTESTED, 404: Effect.REFUSED},
    Action.DELETE: _BY_BOTH | {200: Effect.APPLIED, 404: Effect.CONTESTED},
}


def classify_write(action: Action, group: GroupId, said: Reply | NoReply) -> WriteAnswer:
    """Tell whether a write was applied, from what came back; anything not in the table is unknown."""
    if isinstance(said, NoReply):
        return said.of_write(Effect.NOT_APPLIED)
    status = said.status
    text = str(status)
    if 300 <= status < 400:
        return WriteAnswer(Effect.MISDIRECTED, f"{text}: redirects are never followed")
    effect = EFFECTS[action].get(status)
    if effect is None:
        return WriteAnswer(Effect.UNKNOWN, text, said.wait)
    if effect is Effect.APPLIED and not _names_no_other(group, said.body):
        text = f"{text}, {Trouble.UNREADABLE}: the body is not that of the group"
        return WriteAnswer(Effect.UNKNOWN, text, unreadable=True)
    return WriteAnswer(effect, text)


def classify_look(group: GroupId, said: Reply | NoReply) -> LookAnswer:
    """Tell what a GET showed; anything but a 404 or a readable 200 for this very group is no information."""
    if isinstance(said, NoReply):
        return LookAnswer(LookVerdict.NO_INFORMATION, said.text, flaw=said.flaw)
    status = said.status
    text = str(status)
    if status == 404:
        return LookAnswer(LookVerdict.SEEN, text, Seen(Presence.ABSENT))
    if status == 200:
        if said.body is None:
            return LookAnswer(LookVerdict.OVERSIZED, f"{text} with a body over the size cap")
        try:
            # As json itself reads it: UTF-8, with a byte order mark or without, UTF-16 or UTF-32.
            body = said.body.decode(json.detect_encoding(said.body))
            wrong = _flaw_in(group, body)
        except UnicodeDecodeError:
            body, wrong = "", "the body is not UTF-8"
        if wrong is not None:
            text = f"{text}, {Trouble.UNREADABLE}: {wrong}"
            return LookAnswer(LookVerdict.NO_INFORMATION, text, flaw=Flaw.UNREADABLE)
        return LookAnswer(LookVerdict.SEEN, text, Seen(Presence.PRESENT, body))
    if status in (408, 429) or 500 <= status < 600:
        return LookAnswer(LookVerdict.NO_INFORMATION, text, retry_after=said.wait)
    return LookAnswer(LookVerdict.MISCONFIGURED, text)


def _names_no_other(group: GroupId, body: bytes | None) -> bool:
    if body is None:
        return False
    if not body.strip():
        return True
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return not (isinstance(parsed, dict) and parsed.get("groupId", group) != group)


def _flaw_in(group: GroupId, body: str) -> str | None:
    """Say why a body is not that of the group; None if it is."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return "the body is no JSON, or was cut off by a wrong Content-Length"
    if not isinstance(parsed, dict):
        return "the body is no JSON object"
    return None if parsed.get("groupId") == group else "the body is that of another id"


class StopOrdered(Exception):
    """The worker is being stopped: no further call is started; the task goes back to its queue."""


def in_time(clock: Clock, seconds: float) -> MaySend:
    """Return the guard of a write that may leave within so many seconds from now."""
    ends = clock.elapsed() + seconds
    return lambda: clock.elapsed() < ends


class HostApi(Protocol):
    """One host's groups and things. Its methods never raise for what a host does, only StopOrdered."""

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""

    def look_at_group(self, group: GroupId) -> LookAnswer:
        """GET the group. Raises StopOrdered before anything is sent if the worker is being stopped."""

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, if it still may be sent when bytes would leave.

        `body` is the JSON to create the group with; without it the id alone is sent.
        """

    def look_at_thing(self, kind: Any, thing: Id) -> Shown:
        """Look at a thing. Raises StopOrdered before anything is sent if the worker is being stopped."""

    def send(
        self,
        kind: Any,
        verb: Any,
        thing: Id,
        request: Any,
        attempt: AttemptId,
        may_send: MaySend,
        hidden: Iterable[str] = (),
    ) -> WriteAnswer:
        """Send a write of `Kind.request`, if it still may be sent when bytes would leave."""

    def unwell(self, path: str) -> str | None:
        """GET a path below the host's URL; return None for any 2xx, else what came, in a few words."""
