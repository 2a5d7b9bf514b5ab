"""One HTTP call to a host, whatever carries it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from lockstep.worker.operation.answer import NoReply, Reply, Request
from lockstep.worker.operation.host import Host
from lockstep.worker.settings import Settings

HEADERS = {"User-Agent": "lockstep", "Accept": "application/json", "Accept-Encoding": "identity"}
"""Sent with every request. An answer that is compressed all the same is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Request):
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
        """All of it."""
        return self.host.url + self.path

    @property
    def left(self) -> float:
        """Seconds until the call has to be over."""
        return self.ends - time.monotonic()


Carry = Callable[[Call], Reply | NoReply]
"""Sends a request at most once, and never raises for what comes of it. It follows no redirect, asks no proxy,
keeps no cookie, and reads nothing from the environment."""

TOO_LATE = "the time to send had passed"
OVERLONG = "the call took longer than call_timeout"
SILENT = "read timeout"
CLOSED = "closed without a whole answer"
SHORT = "the body is shorter than its Content-Length, or its chunks, say"
STILL = "the body stood still before the end that its Content-Length gives"
NO_HTTP = "it is no HTTP"
BADLY_ENCODED = "the body is encoded, which was not asked for, and not as it says"
NO_FILE = "its ca_file, cert_file or key_file is not there"
UNTRUSTED = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    **dict.fromkeys((18, 19, 20, 21), "its certificate is of an authority that is not trusted"),
    **dict.fromkeys((62, 64), "its certificate is for another name"),
}
"""OpenSSL's codes for why a certificate is not accepted."""
NO_TLS = {
    "protocol version": "no version of TLS that both speak",
    "unsupported protocol": "no version of TLS that both speak",
    "wrong version number": "it does not speak TLS there",
    "no certificate or crl found": "its ca_file holds no certificate",
    "key values mismatch": "its cert_file and key_file do not belong together",
    "certificate required": "it asks for a certificate of ours: cert_file in the inventory",
    "unknown ca": "it does not trust the authority of our certificate",
}
"""Words of OpenSSL's errors, and what they mean."""


def no_tls(said: str) -> str:
    """Return "TLS error", with the reason that OpenSSL's words give."""
    said = said.lower().replace("_", " ")
    return "TLS error" + next((f": {text}" for words, text in NO_TLS.items() if words in said), "")


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
