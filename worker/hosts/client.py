"""Real time and chance."""

from __future__ import annotations

import json
import random
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from pathlib import Path

import requests
from urllib3.exceptions import DecodeError, HTTPError
from urllib3.exceptions import IncompleteRead as UrllibIncompleteRead

from lockstep.worker.hosts.direct import carrier
from lockstep.worker.hosts.guard import Answer, Call, CallInProgress, Request, ShortBody, TooLate
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
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.names import show
from lockstep.worker.operation.ports import Clock, Stopping
from lockstep.worker.secrets import know
from lockstep.worker.settings import Settings

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


UNTRUSTED = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    **dict.fromkeys((18, 19, 20, 21), "its certificate is of an authority that is not trusted"),
    **dict.fromkeys((62, 64), "its certificate is for another name"),
}
"""OpenSSL's codes for why a certificate is not accepted."""
NO_TLS = {
    "PROTOCOL_VERSION": "no version of TLS that both speak",
    "UNSUPPORTED_PROTOCOL": "no version of TLS that both speak",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there",
    "NO_CERTIFICATE_OR_CRL_FOUND": "its ca_file holds no certificate",
    "KEY_VALUES_MISMATCH": "its cert_file and key_file do not belong together",
    "CERTIFICATE_REQUIRED": "it asks for a certificate of ours: cert_file in the inventory",
    "ALERT_UNKNOWN_CA": "it does not trust the authority of our certificate",
}

_TOKEN = re.compile(r"[\x21-\x7e]+")


def never() -> bool:
    """The `stopping` of a process that is not a worker."""
    return False


@dataclass(frozen=True, slots=True)
class HostClient:
    """The HostApi of one host: no redirects, no retries, no proxy from the environment."""

    host: Host
    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    stopping: Callable[[], bool] = never

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group. Raises Stopping before anything is sent if the worker is being stopped."""
        if self.stopping():
            raise Stopping
        return classify_probe(group, self._call("GET", f"/v1/group/{group}/", None, {}, lambda: True))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `send_before` has passed when bytes would leave."""

        def in_time() -> bool:
            return self.clock.elapsed() < send_before and not self.stopping()

        payload = body or json.dumps({"groupId": group})
        headers = {"Content-Type": "application/json", "X-Lockstep-Attempt": attempt}
        said = self._call(METHODS[action], "/v1/group/", payload.encode(), headers, in_time)
        return replace(classify_write(action, group, said), shows_after=self.host.shows_after)

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        may_send: Callable[[], bool],
    ) -> Reply | NoReply:
        call = Call(time.monotonic() + self.settings.call_timeout, may_send)
        try:
            headers = {**headers, **self._authorization()}
        except OSError as error:
            return NoReply(Trouble.NOT_SENT, f"token file of {self.host.name}: {error.strerror}")
        except _NoToken as error:
            return NoReply(Trouble.NOT_SENT, f"token file of {self.host.name} {error}")
        request = Request(
            method,
            self.host.url + path,
            data,
            headers,
            self.host.verify,
            self.settings.connect_timeout,
            self.settings.read_timeout,
            self.settings.max_body_bytes,
            self.host.cert,
        )
        try:
            with CallInProgress(call):
                answer = carrier.get()(request)
                if not call.expired:
                    return _reply(answer)
        except TooLate:
            return NoReply(Trouble.TOO_LATE, "the time to send had passed")
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            if not call.expired:
                flaw = _flaw(error) if call.sent else None
                if flaw is not None:
                    return NoReply(Trouble.UNREADABLE, flaw)
                return NoReply(Trouble.LOST if call.sent else Trouble.NOT_SENT, _kind(error, sent=call.sent))
        return NoReply(Trouble.LOST, "the call took longer than call_timeout")

    def _authorization(self) -> dict[str, str]:
        if self.host.token_file is None:
            return {}
        return {"Authorization": f"Bearer {_token(Path(self.host.token_file).read_bytes())}"}


def _retry_after(value: str | None, date: str | None) -> float | None:
    """Seconds, or None. A date is read against the answer's own, so that no clock is trusted."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError):  # no date, or one with a time zone and one without
        return None
    return max(0.0, wait.total_seconds())


def _reply(answer: Answer) -> Reply:
    encoding = answer.headers.get("Content-Encoding")
    flaw = None
    if answer.body and encoding and encoding.strip().lower() != "identity":
        flaw = f"the body is encoded ({show(encoding.strip())}), which was not asked for"
    return Reply(
        answer.status,
        answer.body,
        _retry_after(answer.headers.get("Retry-After"), answer.headers.get("Date")),
        flaw,
    )


def _flaw(error: BaseException) -> str | None:
    """Say why an answer cannot be read; None if the error says that none came."""
    for each in _causes(error):
        match each:
            case RemoteDisconnected():
                return None
            case IncompleteRead() | UrllibIncompleteRead():
                return "the body is shorter than its Content-Length, or its chunks, say"
            case ShortBody():
                return "the body stood still before the end that its Content-Length gives"
            case LineTooLong():
                return "a header is longer than 64 KiB"
            case BadStatusLine():
                return "it is no HTTP"
            case HTTPException() if "headers" in str(each):
                return "it has more than 100 headers"
            case DecodeError():
                return "the body is encoded, which was not asked for, and not as it says"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        reason = seen.args[0] if seen.args else None
        inner = getattr(reason, "reason", reason)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__


def _kind(error: BaseException, *, sent: bool) -> str:
    """A few words for an exception; the texts of requests and urllib3 hold object addresses."""
    names = {
        "ConnectTimeout": "connect timeout",
        "ReadTimeout": "read timeout",
        "ReadTimeoutError": "read timeout",
        "TimeoutError": "read timeout" if sent else "connect timeout",
        "SSLError": "TLS error",
        "SSLCertVerificationError": "TLS error",
        "FileNotFoundError": "its ca_file, cert_file or key_file is not there",
        "NameResolutionError": "name not resolved",
        "gaierror": "name not resolved",
        "ConnectionRefusedError": "connection refused",
        "ConnectionResetError": "connection reset",
        "RemoteDisconnected": "closed without a whole answer",
    }
    found, tls = "connection error", ""
    for each in _causes(error):
        found = names.get(type(each).__name__, found)
        if isinstance(each, ssl.SSLError):
            tls = _tls(each) or tls
    return f"{found}: {tls}" if tls and found == "TLS error" else found


def _tls(error: ssl.SSLError) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UNTRUSTED.get(getattr(error, "verify_code", 0))
    return next((text for words, text in NO_TLS.items() if words in str(error.reason or "")), None)


class _NoToken(Exception):
    """A file has no token that can be sent; the text says why, and nothing of the file."""


def _token(content: bytes) -> str:
    """Return the token in a file, which is masked from now on, whether it can be sent or not."""
    know(content.decode("latin-1"))
    try:
        token = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _NoToken("is not UTF-8 text") from None
    know(token)
    if not token:
        raise _NoToken("is empty")
    if not _TOKEN.fullmatch(token):
        raise _NoToken("has more than one word, or characters that a header cannot carry")
    return token
