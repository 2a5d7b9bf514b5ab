"""One call as libcurl carries it: what it is told, what it asks in the middle, and what came of it."""

from __future__ import annotations

import errno
import logging
import re
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pycurl

from lockstep.worker.hosts.client import HEADERS, UNTRUSTED, Call, Detail, no_tls, seconds_to_wait
from lockstep.worker.operation.answer import Carried, NoReply, Reply, Trouble, Watched
from lockstep.worker.turns import Answer

IDLE_SECONDS = 30
"""A connection that was idle for longer is not used again: many servers close theirs after 60."""
GRACE = 1.0
"""Seconds that a write which was sent has for its answer once the worker is told to stop."""
SWITCHING = 101
CLOSING = getattr(select, "POLLRDHUP", 0)
"""Beside what is always reported. Linux has a word for an end that comes after bytes that nobody has read."""
Ends = tuple[Any, ...]
Kept = tuple[int, int]
"""A connection's socket, and what must not have come there when the next request goes out."""
STATUS = re.compile(rb"HTTP/(?:1\.[01]|2) (\d{3})(?:[ \r\n].*)?", re.DOTALL)
UNREADABLE = {
    pycurl.E_UNSUPPORTED_PROTOCOL: Detail.NO_HTTP,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: Detail.NO_HTTP,
    pycurl.E_PARTIAL_FILE: Detail.SHORT,
    **dict.fromkeys((pycurl.E_BAD_CONTENT_ENCODING, pycurl.E_WRITE_ERROR), Detail.BADLY_ENCODED),
    100: "it has more than 5000 headers, or 300 KB of them",
}
"""An answer came, and libcurl cannot make it out."""
LOST = {
    pycurl.E_GOT_NOTHING: Detail.CLOSED,
    pycurl.E_OPERATION_TIMEDOUT: Detail.OVERLONG,
    pycurl.E_SEND_ERROR: "connection reset",
    pycurl.E_RECV_ERROR: "connection reset",
}
NOT_SENT = {
    pycurl.E_COULDNT_RESOLVE_HOST: "name not resolved",
    pycurl.E_OPERATION_TIMEDOUT: "connect timeout",
    pycurl.E_SSL_CACERT_BADFILE: "TLS error: its ca_file holds no certificate",
    pycurl.E_BAD_FUNCTION_ARGUMENT: "TLS error: its cert_file and key_file do not belong together",
}
log = logging.getLogger(__name__)


class Transfer:
    """One call under way; all but `asked`, `said` and `given_up` is the loop's."""

    def __init__(self, asked: Call, kept: Mapping[Ends, Kept], watching: Sequence[Watched]) -> None:
        """Tell libcurl all of it. Raises OSError for a file that is not readable, EOFError if empty."""
        self.asked, self._kept, self._measured = asked, kept, bool(watching)
        self.said: Answer[Reply | NoReply] = Answer()
        self.carried: Carried | None = None
        self.given_up = self.refused = self.stale = self.sent = self.whole = self.oversized = False
        self.head: list[bytes] = []
        self.body = bytearray()
        self.left_at = 0.0
        """When the request left, by `time.monotonic`."""
        self.stops: float | None = None
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.PREREQFUNCTION, self._may_send)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._header)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._part)
        headers = {**HEADERS, **asked.headers}
        for more, _ in watching:
            headers |= more
        for option, value in _told(asked, headers).items():
            self.curl.setopt(option, value)

    def again(self) -> None:
        """Prepare the call for a new connection: nothing was sent over the one that was kept."""
        self.stale = False
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, round(self.asked.left * 1000)))

    def _may_send(self, *ends: Any) -> int:
        """Decide as the last thing before the first byte leaves.

        libcurl asks again before it sends again, by itself, over a new connection. It does not look whether
        a connection that was used within the last second still stands, nor whether anything came since.
        """
        kept = self._kept.get(ends)
        self.stale = not self.sent and kept is not None and _spoiled(*kept)
        if self.stale:
            return int(pycurl.PREREQFUNC_ABORT)
        try:
            wanted = self.asked.left > 0 and not self.given_up
            self.refused = not self.sent and not (wanted and self.asked.may_send())
        except Exception:
            log.exception("whether a request may be sent is not known")
            self.refused = True
        if self.sent or self.refused:
            return int(pycurl.PREREQFUNC_ABORT)
        self.sent, self.left_at = True, time.monotonic()
        return int(pycurl.PREREQFUNC_OK)

    def _header(self, line: bytes) -> int | None:
        if line.startswith(b"HTTP/") and (self.whole or not self.head):
            self.head, self.whole = [], False  # an interim answer came before
        if not self.whole:
            self.head.append(line)
            self.whole = not line.strip()
        return -1 if self.whole and self._status() == SWITCHING else None  # what follows is not HTTP

    def _part(self, data: bytes) -> int | None:
        self.body += data
        self.oversized = len(self.body) > self.asked.settings.max_body_bytes
        return -1 if self.oversized else None

    def _status(self) -> int:
        """Read the answer's own status: libcurl takes HTTP that it does not know for a 200."""
        found = STATUS.fullmatch(self.head[0]) if self.head else None
        return int(found[1]) if found else 0

    def overdue(self, now: float, moved: Mapping[int, float]) -> NoReply | None:
        """Say why the call is to be given up; None if it may go on. `moved`: when each socket did, last."""
        lost = Trouble.LOST if self.sent else Trouble.NOT_SENT
        if self.given_up:
            return NoReply(lost, "interrupted")
        if self.asked.stopping():
            grace = GRACE if self.sent and self.asked.body is not None else 0.0
            self.stops = self.stops or now + grace
            if now >= self.stops:
                return NoReply(lost, "the worker is being stopped")
        silent = now - self.asked.settings.read_timeout
        if self.sent and max(self.left_at, moved.get(self.curl.getinfo(pycurl.ACTIVESOCKET), 0.0)) < silent:
            return NoReply(Trouble.UNREADABLE, Detail.STILL) if self.whole else NoReply(lost, Detail.SILENT)
        return None

    def finish(self, said: Reply | NoReply) -> None:
        """Tell who waits."""
        self.carried = _carried(self.curl) if self._measured else None
        self.curl.close()
        self.said.bring(said)

    def came(self, code: int, text: str) -> Reply | NoReply:
        """Work out what came of the call from libcurl's code for it, 0 for no error."""
        status = self._status()
        if self.whole and (self.oversized or status == SWITCHING):
            return Reply(status, None if self.oversized else b"")
        if self.refused:
            return NoReply(Trouble.TOO_LATE, Detail.TOO_LATE)
        if not self.sent:
            return NoReply(Trouble.NOT_SENT, self._why_not_sent(code, text))
        if code == 0 and self.whole:
            return self._reply(status)
        if self.whole and code == pycurl.E_RECV_ERROR and "chunk" in text:
            code = pycurl.E_PARTIAL_FILE
        if code in UNREADABLE:
            return NoReply(Trouble.UNREADABLE, UNREADABLE[code])
        return NoReply(Trouble.LOST, no_tls(text) if "SSL" in text else LOST.get(code, Detail.CLOSED))

    def _reply(self, status: int) -> Reply | NoReply:
        if not status or status != self.curl.getinfo(pycurl.RESPONSE_CODE):
            return NoReply(Trouble.UNREADABLE, Detail.NO_HTTP)
        lines = (line.decode("latin-1").partition(":") for line in self.head)
        said = {name.lower(): value.strip() for name, _, value in lines}
        wait = seconds_to_wait(said.get("retry-after"), said.get("date"))
        return Reply(status, bytes(self.body), wait, said)

    def _why_not_sent(self, code: int, text: str) -> str:
        if code == pycurl.E_COULDNT_CONNECT and self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED:
            return "connection refused"
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            flaw = 62 if "subject name" in text else self.curl.getinfo(pycurl.SSL_VERIFYRESULT)
            return UNTRUSTED.get(flaw, "TLS error")
        if code in (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_CERTPROBLEM):
            return no_tls(text)
        if "Resolving timed out" in text:
            return "name not resolved"
        return NOT_SENT.get(code, "connection error")


def _told(asked: Call, headers: Mapping[str, str]) -> dict[int, object]:
    """Return what libcurl is told of a call, in the order in which it is told."""
    host, settings = asked.host, asked.settings
    lines = [*(f"{name}: {value}" for name, value in headers.items()), "Expect:"]
    if "content-type" not in map(str.lower, headers):
        lines.append("Content-Type:")  # it would add that of a form
    told: dict[int, object] = {
        pycurl.URL: asked.url,
        pycurl.PATH_AS_IS: 1,
        pycurl.REQUEST_TARGET: "/" + asked.url.split("/", 3)[3],  # it would write %7e as %7E
        pycurl.PROXY: "",
        pycurl.NOSIGNAL: 1,
        pycurl.NOBODY: asked.method == "HEAD",
        pycurl.HTTPHEADER: lines,
        pycurl.ACCEPT_ENCODING: "",
        pycurl.MAXAGE_CONN: IDLE_SECONDS,
        pycurl.DNS_CACHE_TIMEOUT: 0,  # after each call it would look through all names that it knows
        pycurl.CONNECTTIMEOUT_MS: round(settings.connect_timeout * 1000),
        pycurl.TIMEOUT_MS: max(1, round(asked.left * 1000)),
        **({} if asked.body is None else {pycurl.POSTFIELDS: asked.body}),
        pycurl.CUSTOMREQUEST: asked.method,
    }
    if not asked.url.startswith("https:"):
        return told
    # What the files hold: by a path, libcurl goes on with what it read, or showed, before.
    if isinstance(host.verify, str):
        told[pycurl.CAINFO_BLOB] = _content(host.verify)
    elif host.verify:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        told[pycurl.CAINFO] = DEFAULT_CA_BUNDLE_PATH
    else:
        told |= {pycurl.SSL_VERIFYPEER: 0, pycurl.SSL_VERIFYHOST: 0}
    if host.cert is not None:
        own, key = map(_content, host.cert)
        # Without a password OpenSSL would ask for one on the terminal.
        told |= {pycurl.SSLCERT_BLOB: own, pycurl.SSLKEY_BLOB: key, pycurl.KEYPASSWD: ""}
    if host.server_name:
        # libcurl takes the name to ask for from the URL, and is told where to connect.
        place = asked.url.split("/", 3)[2]
        told[pycurl.URL] = f"https://{host.server_name}:{place.rpartition(':')[2]}/"
        told[pycurl.CONNECT_TO] = [f"::{place}"]
        lines.append(f"Host: {place.removesuffix(':443')}")
    return told


def _content(file: str) -> bytes:
    """Read a file that may be about to be written anew: libcurl takes no empty one."""
    if content := Path(file).read_bytes():
        return content
    raise EOFError


def ends_of(curl: pycurl.Curl) -> Ends:
    """Return by what `PREREQFUNCTION` names a connection."""
    names = (pycurl.PRIMARY_IP, pycurl.LOCAL_IP, pycurl.PRIMARY_PORT, pycurl.LOCAL_PORT)
    return tuple(curl.getinfo(name) for name in names)


def kept_by(curl: pycurl.Curl) -> Kept:
    """Return what is kept of a connection whose call went well.

    Over HTTP/1 whatever comes before the next request would be taken for its answer; HTTP/2 says whose it is.
    """
    unasked = select.POLLIN if curl.getinfo(pycurl.INFO_HTTP_VERSION) <= pycurl.CURL_HTTP_VERSION_1_1 else 0
    return curl.getinfo(pycurl.ACTIVESOCKET), CLOSING | unasked


def _spoiled(socket: int, by: int) -> bool:
    """Tell whether the other side has closed, or has said what nobody asked for."""
    poll = select.poll()
    try:
        poll.register(socket, by)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # closed on our side: -1
        return False


def _carried(curl: pycurl.Curl) -> Carried:
    sent = curl.getinfo(pycurl.REQUEST_SIZE) + curl.getinfo(pycurl.SIZE_UPLOAD_T)
    received = curl.getinfo(pycurl.HEADER_SIZE) + curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
    return Carried(
        connected=curl.getinfo(pycurl.CONNECT_TIME),
        secured=curl.getinfo(pycurl.APPCONNECT_TIME),
        first_byte=curl.getinfo(pycurl.STARTTRANSFER_TIME) if received else 0.0,  # else when it failed
        total=curl.getinfo(pycurl.TOTAL_TIME),
        sent=sent,
        received=received,
        kept=bool(sent) and curl.getinfo(pycurl.NUM_CONNECTS) == 0,
        status=curl.getinfo(pycurl.RESPONSE_CODE),
    )
