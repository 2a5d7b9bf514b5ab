"""One host's API over HTTP, the calls that it makes, whatever carries them, and real time and chance."""

from __future__ import annotations

import base64
import json
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.worker.operation.answer import (
    METHODS,
    HttpRequest,
    LookAnswer,
    NoReply,
    Reply,
    StopOrdered,
    Trouble,
    classify_look,
    classify_write,
)
from lockstep.worker.operation.content import Id, Shown, WriteAnswer
from lockstep.worker.operation.host import Host, MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.process.secrets import know
from lockstep.worker.settings import Settings
from lockstep.worker.settings.environment import version_of

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind, Verb

HEADERS = {"User-Agent": "lockstep", "Accept": "application/json", "Accept-Encoding": "identity"}
"""Sent with every request. An answer that is compressed all the same is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(HttpRequest):
    """A request to a host, and what bounds it beside the settings."""

    host: Host
    settings: Settings
    ends: float
    """When the whole call has to be over, by `time.monotonic`."""
    may_send: Callable[[], bool]
    """Asked when the connection stands, before the first byte leaves."""
    stopping: Callable[[], bool]
    """Asked again and again while the call goes on: whether it is to be given up."""

    @property
    def url(self) -> str:
        return self.host.url + self.path

    @property
    def left(self) -> float:
        """Seconds until the call has to be over."""
        return self.ends - time.monotonic()


Carry = Callable[[Call], Reply | NoReply]
"""Sends a request at most once, and never raises for what comes of it. It follows no redirect, asks no proxy,
keeps no cookie, and reads nothing from the environment."""


class Detail(StrEnum):
    """Why there is no complete reply, in a few words."""

    TOO_LATE = "the time to send had passed"
    OVERLONG = "the call took longer than call_timeout"
    SILENT = "read timeout"
    CLOSED = "closed without a whole answer"
    SHORT = "the body is shorter than its Content-Length, or its chunks, say"
    STILL = "the body stood still before the end that its Content-Length gives"
    NO_HTTP = "it is no HTTP"
    TOO_LARGE = "it has more than 5000 headers, one over 100 KB, or 300 KB of them"
    BADLY_ENCODED = "the body is encoded, which was not asked for, and not as it says"
    NO_FILE = "its ca_file, cert_file or key_file is not there"
    EMPTY_FILE = "its ca_file, cert_file or key_file is empty"


class NoTLS(str):
    """The same where TLS does not stand, told by its type: "TLS error", with the reason if it is known."""

    __slots__ = ()

    def __new__(cls, reason: str = "") -> NoTLS:
        return super().__new__(cls, f"TLS error: {reason}" if reason else "TLS error")


LOCKED_KEY = NoTLS("its key_file is encrypted: take the passphrase off, with `openssl pkey`")
UNTRUSTED = {
    9: NoTLS("its certificate is not valid yet"),
    10: NoTLS("its certificate has expired"),
    **dict.fromkeys((18, 19, 20, 21), NoTLS("its certificate is of an authority that is not trusted")),
    **dict.fromkeys((62, 64), NoTLS("its certificate is for another name")),
}
"""OpenSSL's codes for why a certificate is not accepted."""
REASONS = {
    "protocol version": "no version of TLS that both speak",
    "unsupported protocol": "no version of TLS that both speak",
    "wrong version number": "it does not speak TLS there",
    "no certificate or crl found": "its ca_file holds no certificate",
    "key values mismatch": "its cert_file and key_file do not belong together",
    "certificate required": "it asks for a certificate of ours: cert_file in the inventory",
    "unknown ca": "it does not trust the authority of our certificate",
}
"""Words of OpenSSL's errors, and what they mean."""


def no_tls(said: str) -> NoTLS:
    """Return what is wrong with TLS by OpenSSL's words."""
    said = said.lower().replace("_", " ")
    return NoTLS(next((reason for words, reason in REASONS.items() if words in said), ""))


def seconds_to_wait(value: str | None, date: str | None) -> float | None:
    """Read a Retry-After; None without one. A date is read against the answer's own: no clock is trusted."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):  # no date, no such date, or only one with a time zone
        return None
    return max(0.0, wait.total_seconds())


_SUSPENSION_COUNTS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC does the same."""


class SystemClock:
    def elapsed(self) -> float:
        return time.clock_gettime(_SUSPENSION_COUNTS)

    def jitter(self) -> float:
        return random.random()

    def new_id(self) -> AttemptId:
        return AttemptId(secrets.token_hex(8))


_WITH_CONTENT = ("POST", "PUT", "PATCH")
"""Servers expect these to say how long their content is, even if there is none: some answer 411."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class HostClient:
    host: Host
    settings: Settings
    carry: Carry
    stopping: Callable[[], bool] = lambda: False

    @property
    def fingerprint(self) -> str:
        return self.host.fingerprint

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return classify_look(group, self.ask(HttpRequest("GET", f"/v1/group/{group}/")))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        payload = body or json.dumps({"groupId": group})
        headers = {"Content-Type": "application/json"}
        request = HttpRequest(METHODS[action], "/v1/group/", headers, payload.encode())
        said = self._send(request, attempt, may_send)
        return replace(classify_write(action, group, said), shows_after=self.host.shows_after)

    def look_at_thing(self, kind: Kind, thing: Id) -> Shown:
        """Look at a thing, and at the witness of its absence. Raises StopOrdered as `look_at_group` does."""
        said = self.ask(kind.request("look", thing))
        shown = kind.shown(thing, said)
        if shown.needs_witness and (witness := kind.look.witness(thing)) is not None:
            return kind.shown(thing, said, self.ask(witness))
        return shown

    def send(
        self,
        kind: Kind,
        verb: Verb,
        thing: Id,
        request: HttpRequest,
        attempt: AttemptId,
        may_send: MaySend,
        hidden: Iterable[str] = (),
    ) -> WriteAnswer:
        """Send a write, if it still may be sent when bytes would leave; `hidden`: see `Kind.said`."""
        return kind.said(verb, thing, self._send(request, attempt, may_send), hidden)

    def unwell(self, path: str) -> str | None:
        said = self.ask(HttpRequest("GET", path))
        if isinstance(said, NoReply):
            return said.text
        return None if 200 <= said.status < 300 else str(said.status)

    def ask(self, request: HttpRequest) -> Reply | NoReply:
        """Ask what changes nothing, twice if the token is replaced meanwhile. Raises StopOrdered."""
        said, replaced = self._with_token(lambda: self._ask(request))
        return self._ask(request) if replaced else said

    def _ask(self, request: HttpRequest) -> Reply | NoReply:
        if not self.stopping():
            said = self._call(request, {}, lambda: True)
            if not (isinstance(said, NoReply) and self.stopping()):
                return said
        raise StopOrdered

    def _send(self, request: HttpRequest, attempt: AttemptId, may_send: MaySend) -> Reply | NoReply:
        """Send a write, once: with a token that is replaced meanwhile the step sends another."""

        def wanted() -> bool:
            return not self.stopping() and may_send()

        more: dict[str, str] = {"X-Lockstep-Attempt": attempt}
        said, replaced = self._with_token(lambda: self._call(request, more, wanted))
        return NoReply(Trouble.REPLACED) if replaced else said

    def _with_token(self, call: Callable[[], Reply | NoReply]) -> tuple[Reply | NoReply, bool]:
        """Call a host; tell whether it said 401 to a token that was replaced meanwhile."""
        file = self.host.credentials
        before, said = file and version_of(file), call()
        refused = isinstance(said, Reply) and said.status == 401
        return said, refused and before != (file and version_of(file))

    def _call(
        self, request: HttpRequest, more: dict[str, str], may_send: Callable[[], bool]
    ) -> Reply | NoReply:
        ends = time.monotonic() + self.settings.call_timeout
        if request.body is None and request.method in _WITH_CONTENT:
            more["Content-Length"] = "0"
        try:
            headers = {**request.headers, **more, **authorization(self.host)}
        except OSError as error:
            why = f" {error}" if isinstance(error, _NoToken) else f": {error.strerror}"
            noun = "token" if self.host.auth is None else "auth"
            return NoReply(Trouble.NOT_SENT, f"{noun} file of {self.host.name}{why}")
        said = self.carry(
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
        if isinstance(said, NoReply) and isinstance(said.detail, NoTLS) and _is_locked(self.host):
            return NoReply(said.trouble, LOCKED_KEY)
        return said


def _is_locked(host: Host) -> bool:
    """Tell whether the host's key is encrypted, which neither carrier says."""
    try:
        return host.cert is not None and b"ENCRYPTED" in Path(host.cert[1]).read_bytes()
    except OSError:
        return False


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
