"""Calls over libcurl: those of every step, carried by one thread for all threads of a process.

It drives libcurl's multi interface, which keeps the connections of all of them. docs/performance.md says what
a handle for each thread costs instead.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pycurl
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from lockstep.worker.forks import leave_to_parent, renew_in_children
from lockstep.worker.hosts.request import (
    BADLY_ENCODED,
    CLOSED,
    HEADERS,
    NO_FILE,
    NO_HTTP,
    OVERLONG,
    SHORT,
    SILENT,
    STILL,
    TOO_LATE,
    UNTRUSTED,
    Request,
    no_tls,
    seconds_to_wait,
)
from lockstep.worker.operation.answer import Carried, NoReply, Reply, Trouble

IDLE = 256
"""Connections kept open between calls: ten thousand hosts are not to be ten thousand sockets."""
IDLE_SECONDS = 30
"""An older one is not used again: many servers, and what stands before them, close theirs after 60."""
TICK = 0.1
"""Seconds between two looks at the calls under way."""
GRACE = 1.0
"""Seconds that a write which was sent has for its answer once the worker is told to stop."""
SWITCHING = 101
CLOSING = getattr(select, "POLLRDHUP", 0)
"""Beside what is always reported. Linux has a word for an end that comes after bytes that nobody has read."""
FORGOTTEN = 4 * IDLE
Ends = tuple[Any, ...]
STATUS = re.compile(rb"HTTP/(?:1\.[01]|2) (\d{3})(?:[ \r\n].*)?", re.DOTALL)
UNREADABLE = {
    pycurl.E_UNSUPPORTED_PROTOCOL: NO_HTTP,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: NO_HTTP,
    pycurl.E_PARTIAL_FILE: SHORT,
    pycurl.E_BAD_CONTENT_ENCODING: BADLY_ENCODED,
    100: "it has more than 5000 headers, or 300 KB of them",
}
"""An answer came, and libcurl cannot make it out."""
LOST = {
    pycurl.E_GOT_NOTHING: CLOSED,
    pycurl.E_OPERATION_TIMEDOUT: OVERLONG,
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


Watch = Callable[[str, str], tuple[Mapping[str, str], Callable[[Carried], None]]]
"""Asked about each call, by method and URL: what headers to send with it, and whom to tell what it took."""
watches: list[Watch] = []
"""Nothing is measured while there are none."""


class _Call:
    """One call under way; all but `request`, `said`, `over` and `given_up` is the loop's."""

    def __init__(
        self, request: Request, headers: Mapping[str, str], kept: Mapping[Ends, int], *, measured: bool
    ) -> None:
        """Tell libcurl all of it. Raises OSError for a file that cannot be read."""
        self.request, self._kept, self._measured = request, kept, measured
        self.said: Reply | NoReply = NoReply(Trouble.NOT_SENT, "not begun")
        self.carried: Carried | None = None
        self.over = threading.Lock()
        self.over.acquire()
        self.given_up = False
        self.refused = self.stale = self.sent = self.whole = self.oversized = False
        self.head: list[bytes] = []
        self.body = bytearray()
        self.left_at = 0.0
        """When the request left, by `time.monotonic`."""
        self.stops: float | None = None
        self.curl = pycurl.Curl()

        for option, value in (
            (pycurl.URL, request.url),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.REQUEST_TARGET, "/" + request.url.split("/", 3)[3]),  # it would write %7e as %7E
            (pycurl.PROXY, ""),
            (pycurl.NOSIGNAL, 1),
            (pycurl.HTTPHEADER, [*(f"{name}: {value}" for name, value in headers.items()), "Expect:"]),
            (pycurl.ACCEPT_ENCODING, ""),
            (pycurl.MAXAGE_CONN, IDLE_SECONDS),
            (pycurl.CONNECTTIMEOUT_MS, round(request.connect_timeout * 1000)),
            (pycurl.TIMEOUT_MS, max(1, round(request.left * 1000))),
            (pycurl.PREREQFUNCTION, self._may_send),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.WRITEFUNCTION, self._part),
        ):
            self.curl.setopt(option, value)
        if request.body is not None:
            self.curl.setopt(pycurl.POSTFIELDS, request.body)
        self.curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        if request.url.startswith("https:"):
            self._secure()

    def _secure(self) -> None:
        verify, cert, curl = self.request.verify, self.request.cert, self.curl
        if isinstance(verify, str):
            curl.setopt(pycurl.CAINFO_BLOB, _content(verify, _version(verify)))  # a path would be read once
        elif verify:
            curl.setopt(pycurl.CAINFO, DEFAULT_CA_BUNDLE_PATH)
        else:
            curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        if cert is not None:
            for option, file in zip((pycurl.SSLCERT, pycurl.SSLKEY), cert, strict=True):
                _version(file)
                curl.setopt(option, file)
            curl.setopt(pycurl.KEYPASSWD, "")  # else OpenSSL asks on the terminal

    def again(self) -> None:
        """Prepare the call for a new connection: nothing was sent over the one that was kept."""
        self.stale = False
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, round(self.request.left * 1000)))

    def _may_send(self, *ends: Any) -> int:
        """Decide as the last thing before the first byte leaves.

        libcurl asks again before it sends again, by itself, over a new connection. It does not look whether
        a connection that was used within the last second still stands.
        """
        socket = self._kept.get(ends)
        self.stale = not self.sent and socket is not None and _closed(socket)
        if self.stale:
            return int(pycurl.PREREQFUNC_ABORT)
        try:
            self.refused = not self.sent and not (self.request.left > 0 and self.request.may_send())
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
        self.oversized = len(self.body) > self.request.most
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
        if self.request.stopping():
            grace = GRACE if self.sent and self.request.body is not None else 0.0
            self.stops = self.stops or now + grace
            if now >= self.stops:
                return NoReply(lost, "the worker is being stopped")
        silent = now - self.request.read_timeout
        if self.sent and max(self.left_at, moved.get(self.curl.getinfo(pycurl.ACTIVESOCKET), 0.0)) < silent:
            return NoReply(Trouble.UNREADABLE, STILL) if self.whole else NoReply(lost, SILENT)
        return None

    def finish(self, said: Reply | NoReply) -> None:
        """Tell who waits."""
        self.said = said
        if self._measured:
            self.carried = _carried(self.curl)
        self.curl.close()
        self.over.release()

    def came(self, code: int, text: str) -> Reply | NoReply:
        """Work out what came of the call from libcurl's code for it, 0 for no error."""
        status = self._status()
        if self.whole and (self.oversized or status == SWITCHING):
            return Reply(status, None if self.oversized else b"")
        if self.refused:
            return NoReply(Trouble.TOO_LATE, TOO_LATE)
        if not self.sent:
            return NoReply(Trouble.NOT_SENT, self._why_not_sent(code, text))
        if code == 0 and self.whole:
            return self._reply(status)
        flaw = UNREADABLE.get(code)
        if self.whole and code == pycurl.E_RECV_ERROR and "chunk" in text:
            flaw = SHORT
        if flaw is not None:
            return NoReply(Trouble.UNREADABLE, flaw)
        return NoReply(Trouble.LOST, no_tls(text) if "SSL" in text else LOST.get(code, CLOSED))

    def _reply(self, status: int) -> Reply | NoReply:
        if not status or status != self.curl.getinfo(pycurl.RESPONSE_CODE):
            return NoReply(Trouble.UNREADABLE, NO_HTTP)
        lines = (line.decode("latin-1").partition(":") for line in self.head)
        said = {name.lower(): value for name, _, value in lines}
        return Reply(status, bytes(self.body), seconds_to_wait(said.get("retry-after"), said.get("date")))

    def _why_not_sent(self, code: int, text: str) -> str:
        if code == pycurl.E_COULDNT_CONNECT and self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED:
            return "connection refused"
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            of_name = 62 if "subject name" in text else 0
            why = UNTRUSTED.get(of_name or self.curl.getinfo(pycurl.SSL_VERIFYRESULT))
            return f"TLS error: {why}" if why else "TLS error"
        if code in (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_CERTPROBLEM):
            return no_tls(text)
        if "Resolving timed out" in text:
            return "name not resolved"
        return NOT_SENT.get(code, "connection error")


class Inbox:
    """What any thread hands over to the one that waits for `ring`."""

    def __init__(self, ring: Callable[[], object], hear: Callable[[], object]) -> None:
        self._ring, self._hear = ring, hear
        self._calls: deque[_Call] = deque()
        self._rung = False

    def put(self, call: _Call) -> None:
        """Hand a call over."""
        self._calls.append(call)
        if not self._rung:
            self._rung = True
            self._ring()

    def take(self) -> Iterator[_Call]:
        """Yield what was handed over; a call that comes later rings again."""
        self._hear()
        self._rung = False  # after all rings were heard, and before the calls are looked at
        while self._calls:
            yield self._calls.popleft()


class Loop:
    """The thread that carries the calls of this process, begun with the first of them."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)  # whichever process reads first would get the other's answer

    def start_anew(self) -> None:
        leave_to_parent(*vars(self).values())
        self._making = threading.Lock()
        self._thread: threading.Thread | None = None
        self._inbox = Inbox(self._ring, self._hear)
        self._calls: dict[pycurl.Curl, _Call] = {}
        self._kept: dict[Ends, int] = {}
        self._bell = (-1, -1)

    def carry(self, request: Request) -> Reply | NoReply:
        """Carry one call, from whichever thread."""
        watching = [watch(request.method, request.url) for watch in watches]
        headers = {**HEADERS, **request.headers}
        for more, _ in watching:
            headers |= more
        try:
            call = _Call(request, headers, self._kept, measured=bool(watching))
        except (OSError, ValueError) as error:
            why = NO_FILE if isinstance(error, FileNotFoundError) else f"connection error: {error}"
            return NoReply(Trouble.NOT_SENT, why)
        try:
            self._begin_thread()
            self._inbox.put(call)
            call.over.acquire()
        except BaseException:
            call.given_up = True
            raise
        for _, told in watching:
            if call.carried is not None:
                told(call.carried)
        return call.said

    def _begin_thread(self) -> None:
        with self._making:
            if self._thread is None or self._thread.ident is None:
                self._bell = os.pipe()
                for end in self._bell:
                    os.set_blocking(end, False)
                self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
                self._thread.start()

    def _ring(self) -> None:
        os.write(self._bell[1], b"!")

    def _hear(self) -> None:
        os.read(self._bell[0], 4096)

    def _run(self) -> None:
        while True:
            try:
                self._serve()
            except Exception:
                log.exception("what carries the calls to hosts failed, and begins anew")
            for call in self._calls.values():
                why = Trouble.LOST if call.sent else Trouble.NOT_SENT
                with contextlib.suppress(pycurl.error, RuntimeError):
                    call.finish(NoReply(why, "what carries the calls failed"))
            self._calls.clear()
            self._ring()  # for what was handed over meanwhile

    def _serve(self) -> None:
        multi, poll, alarm = pycurl.CurlMulti(), select.poll(), _Alarm()
        multi.setopt(pycurl.M_MAXCONNECTS, IDLE)
        multi.setopt(pycurl.M_TIMERFUNCTION, alarm.set)
        multi.setopt(pycurl.M_SOCKETFUNCTION, functools.partial(_follow, poll))
        poll.register(self._bell[0], select.POLLIN)
        look, now = 0.0, time.monotonic()
        moved: dict[int, float] = {}
        while True:
            until = min(alarm.at, look if self._calls else math.inf)
            events = poll.poll(None if until == math.inf else max(0.0, until - now) * 1000)
            now = time.monotonic()
            for socket, event in events:
                if socket == self._bell[0]:
                    for call in self._inbox.take():
                        self._begin(multi, call)
                else:
                    moved[socket] = now
                    multi.socket_action(socket, _happened(event))
            if alarm.at <= now:
                alarm.at = math.inf
                multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._reap(multi)
            if look <= now:
                look = now + TICK
                for call in list(self._calls.values()):
                    if (said := call.overdue(now, moved)) is not None:
                        self._end(multi, call.curl).finish(said)

    def _reap(self, multi: pycurl.CurlMulti) -> None:
        """End the calls that libcurl is done with."""
        left = 1
        while left:
            left, well, ill = multi.info_read()
            for curl in well:
                if len(self._kept) > FORGOTTEN:
                    self._kept.clear()
                self._kept[_ends(curl)] = curl.getinfo(pycurl.ACTIVESOCKET)
            for curl, code, text in [*((curl, 0, "") for curl in well), *ill]:
                call = self._end(multi, curl)
                if call.stale:
                    call.again()
                    self._begin(multi, call)
                else:
                    call.finish(call.came(code, text))

    def _begin(self, multi: pycurl.CurlMulti, call: _Call) -> None:
        self._calls[call.curl] = call
        multi.add_handle(call.curl)

    def _end(self, multi: pycurl.CurlMulti, curl: pycurl.Curl) -> _Call:
        multi.remove_handle(curl)
        return self._calls.pop(curl)


class _Alarm:
    """When libcurl wants to be called again though nothing happened."""

    at = math.inf

    def set(self, milliseconds: int) -> None:
        """Have it called after so long; -1 for not at all."""
        self.at = math.inf if milliseconds < 0 else milliseconds and time.monotonic() + milliseconds / 1000


def _follow(poll: select.poll, what: int, socket: int, *_: object) -> None:
    """Watch a socket for what libcurl waits for."""
    if what == pycurl.POLL_REMOVE:
        with contextlib.suppress(KeyError):
            poll.unregister(socket)
        return
    wants = select.POLLIN if what & pycurl.POLL_IN else 0
    poll.register(socket, wants | (select.POLLOUT if what & pycurl.POLL_OUT else 0))


def _ends(curl: pycurl.Curl) -> Ends:
    """Return by what `PREREQFUNCTION` names a connection."""
    names = (pycurl.PRIMARY_IP, pycurl.LOCAL_IP, pycurl.PRIMARY_PORT, pycurl.LOCAL_PORT)
    return tuple(curl.getinfo(name) for name in names)


def _closed(socket: int) -> bool:
    """Tell whether the other side has closed; what TLS has to say before its end does not matter."""
    poll = select.poll()
    try:
        poll.register(socket, CLOSING)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # closed on our side: -1
        return False


def _happened(event: int) -> int:
    reads = pycurl.CSELECT_IN if event & (select.POLLIN | select.POLLHUP | select.POLLERR) else 0
    return reads | (pycurl.CSELECT_OUT if event & select.POLLOUT else 0)


def _carried(curl: pycurl.Curl) -> Carried:
    return Carried(
        connected=curl.getinfo(pycurl.CONNECT_TIME),
        secured=curl.getinfo(pycurl.APPCONNECT_TIME),
        first_byte=curl.getinfo(pycurl.STARTTRANSFER_TIME),
        total=curl.getinfo(pycurl.TOTAL_TIME),
        sent=curl.getinfo(pycurl.REQUEST_SIZE) + int(curl.getinfo(pycurl.SIZE_UPLOAD)),
        received=curl.getinfo(pycurl.HEADER_SIZE) + int(curl.getinfo(pycurl.SIZE_DOWNLOAD)),
        kept=curl.getinfo(pycurl.NUM_CONNECTS) == 0,
        status=curl.getinfo(pycurl.RESPONSE_CODE),
    )


def _version(file: str) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written. Raises OSError."""
    said = os.stat(file)  # noqa: PTH116
    return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns


@functools.lru_cache(maxsize=64)
def _content(file: str, _: tuple[int, ...]) -> bytes:
    return Path(file).read_bytes()


exchange = Loop().carry
"""What carries the calls of steps."""
