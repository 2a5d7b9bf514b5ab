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

from lockstep.worker.hosts.client import HEADERS, UNTRUSTED, Call, Detail, NoTLS, no_tls, seconds_to_wait
from lockstep.worker.operation.answer import CallFigures, CallWatch, NoReply, Reply, Trouble
from lockstep.worker.process.greenlets import Handover

IDLE_SECONDS = 30
"""A connection that was idle for longer is not used again: many servers close theirs after 60."""
GRACE = 1.0
"""Seconds that a write which was sent has for its answer once the worker is told to stop."""
CLOSING = getattr(select, "POLLRDHUP", 0)
"""Beside what is always reported. Linux has a word for an end that comes after bytes that nobody has read."""
ENDS = (pycurl.PRIMARY_IP, pycurl.LOCAL_IP, pycurl.PRIMARY_PORT, pycurl.LOCAL_PORT)
"""By what `PREREQFUNCTION` names a connection."""
Kept = dict[tuple[Any, ...], select.poll]
"""Connections by their ends, each to be asked for what must not have come before the next request leaves."""
STATUS = re.compile(rb"HTTP/(?:1\.[01]|2) (\d{3})(?:[ \r\n].*)?", re.DOTALL)
UNREADABLE = {
    **dict.fromkeys((pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_FTP_WEIRD_SERVER_REPLY), Detail.NO_HTTP),
    pycurl.E_PARTIAL_FILE: Detail.SHORT,
    **dict.fromkeys((pycurl.E_BAD_CONTENT_ENCODING, pycurl.E_WRITE_ERROR), Detail.BADLY_ENCODED),
    100: Detail.TOO_LARGE,
}
"""An answer came, and libcurl cannot make it out."""
RECEIVED = {"chunk": pycurl.E_PARTIAL_FILE, "Too large response headers": 100}
"""What is no reset, though its code is that of one."""
LOST = {
    pycurl.E_OPERATION_TIMEDOUT: Detail.OVERLONG,
    **dict.fromkeys((pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR), "connection reset"),
}
NOT_SENT = {
    pycurl.E_COULDNT_RESOLVE_HOST: "name not resolved",
    pycurl.E_OPERATION_TIMEDOUT: "connect timeout",
    pycurl.E_SSL_CACERT_BADFILE: NoTLS("its ca_file holds no certificate"),
    pycurl.E_BAD_FUNCTION_ARGUMENT: NoTLS("its cert_file and key_file do not belong together"),
}
log = logging.getLogger(__name__)


class Transfer:
    """One call under way; all but `asked`, `said` and `given_up` is the loop's."""

    def __init__(self, asked: Call, kept: Kept, watching: Sequence[CallWatch]) -> None:
        """Tell libcurl all of it. Raises OSError for a file that is not readable, EOFError if empty."""
        self.asked, self._kept, self._measured = asked, kept, bool(watching)
        self.said: Handover[Reply | NoReply] = Handover()
        self.carried: CallFigures | None = None
        self.given_up = self.refused = self.stale = self.sent = self.whole = self.enough = False
        self.head: list[bytes] = []
        self.status = 0
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
        if self.sent:
            return int(pycurl.PREREQFUNC_ABORT)
        kept = self._kept.get(ends)
        self.stale = kept is not None and bool(kept.poll(0))
        try:
            wanted = self.asked.left > 0 and not self.given_up
            self.refused = not self.stale and not (wanted and self.asked.may_send())
        except Exception:
            log.exception("whether a request may be sent is not known")
            self.refused = True
        if self.stale or self.refused:
            return int(pycurl.PREREQFUNC_ABORT)
        self.sent, self.left_at = True, time.monotonic()
        return int(pycurl.PREREQFUNC_OK)

    def _header(self, line: bytes) -> int | None:
        if self.whole and line.startswith(b"HTTP/"):
            self.head, self.whole = [], False  # an interim answer came before
        if not self.whole:
            self.head.append(line)
            if not line.strip():
                found = STATUS.fullmatch(self.head[0])  # libcurl takes HTTP that it does not know for a 200
                self.whole, self.status = True, int(found[1]) if found else 0
                self.enough = self.status == 101  # it switches: what follows is not HTTP
        return -1 if self.enough else None

    def _part(self, data: bytes) -> int | None:
        self.body += data
        self.enough = len(self.body) > self.asked.settings.max_body_bytes
        return -1 if self.enough else None

    @property
    def lost(self) -> Trouble:
        """What it means that no answer comes."""
        return Trouble.LOST if self.sent else Trouble.NOT_SENT

    def overdue(self, now: float, moved: Mapping[int, float]) -> NoReply | None:
        """Say why the call is to be given up; None if it may go on. `moved`: when each socket did, last."""
        lost = self.lost
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
        self.carried = _carried(self.curl) if self._measured else None
        self.curl.close()
        self.said.bring(said)

    def came(self, code: int, text: str) -> Reply | NoReply:
        """Work out what came of the call from libcurl's code for it, 0 for no error."""
        if code == 0:
            self._keep()
        if self.enough:
            return Reply(self.status, None if self.body else b"")
        if self.refused:
            return NoReply(Trouble.TOO_LATE, Detail.TOO_LATE)
        if not self.sent:
            return NoReply(Trouble.NOT_SENT, self._why_not_sent(code, text))
        if code == 0 and self.whole:
            return self._reply()
        if code == pycurl.E_RECV_ERROR:
            code = next((own for words, own in RECEIVED.items() if words in text), code)
        if code in UNREADABLE:
            return NoReply(Trouble.UNREADABLE, UNREADABLE[code])
        return NoReply(Trouble.LOST, no_tls(text) if "SSL" in text else LOST.get(code, Detail.CLOSED))

    def _keep(self) -> None:
        """Note the connection, which another call may go over.

        Over HTTP/1 what comes before the next request would be taken for its answer; HTTP/2 says whose it is.
        """
        told = self.curl.getinfo
        if (socket := told(pycurl.ACTIVESOCKET)) >= 0:
            unasked = 0 if told(pycurl.INFO_HTTP_VERSION) > pycurl.CURL_HTTP_VERSION_1_1 else select.POLLIN
            look = self._kept[tuple(map(told, ENDS))] = select.poll()
            look.register(socket, CLOSING | unasked)

    def _reply(self) -> Reply | NoReply:
        if not self.status or self.status != self.curl.getinfo(pycurl.RESPONSE_CODE):
            return NoReply(Trouble.UNREADABLE, Detail.NO_HTTP)
        lines = (line.decode("latin-1").partition(":") for line in self.head)
        said = {name.lower(): value.strip() for name, _, value in lines}
        wait = seconds_to_wait(said.get("retry-after"), said.get("date"))
        return Reply(self.status, bytes(self.body), wait, said)

    def _why_not_sent(self, code: int, text: str) -> str:
        if code == pycurl.E_COULDNT_CONNECT and self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED:
            return "connection refused"
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            flaw = 62 if "subject name" in text else self.curl.getinfo(pycurl.SSL_VERIFYRESULT)
            return UNTRUSTED.get(flaw, NoTLS())
        if code in (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_CERTPROBLEM):
            return no_tls(text)
        if "Resolving timed out" in text:
            return "name not resolved"
        return NOT_SENT.get(code, "connection error")


def _told(asked: Call, headers: Mapping[str, str]) -> dict[int, object]:
    """Return what libcurl is told of a call, in the order in which it is told."""
    host, settings = asked.host, asked.settings
    # It would add the last two by itself.
    lines = [*(f"{name}: {value}" for name, value in headers.items()), "Expect:", "Content-Type:"]
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


def _carried(curl: pycurl.Curl) -> CallFigures:
    told = curl.getinfo
    sent = told(pycurl.REQUEST_SIZE)  # its body is in it
    received = told(pycurl.HEADER_SIZE) + told(pycurl.SIZE_DOWNLOAD_T)
    return CallFigures(
        connected=told(pycurl.CONNECT_TIME),
        secured=told(pycurl.APPCONNECT_TIME),
        first_byte=told(pycurl.STARTTRANSFER_TIME) if received else 0.0,  # else when it failed
        total=told(pycurl.TOTAL_TIME),
        sent=sent,
        received=received,
        kept=bool(sent) and told(pycurl.NUM_CONNECTS) == 0,
        status=told(pycurl.RESPONSE_CODE),
    )
