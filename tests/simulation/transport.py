"""What comes of a call: what libcurl says, by its own table of failures, and what our transfer makes of it.

Only libcurl is missing. A way tells what it had called back by the end of a call, and the code it gave; the
real transfer is asked whether to send, is fed the answer, and works out what came.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pycurl

from lockstep.worker.hosts.client import Call
from lockstep.worker.hosts.transfer import Transfer
from lockstep.worker.operation.answer import NoReply, Reply
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings

MOST = 1024
AGAIN_TOO_LARGE = 100
"""libcurl's code for a head that is too large; pycurl has no name for it."""


class NoCurl:
    """A handle that tells what libcurl would know at the end."""

    def __init__(self, info: Mapping[int, int]) -> None:
        self._info = info

    def getinfo(self, name: int) -> int:
        return self._info.get(name, 0)


@dataclass(frozen=True, slots=True)
class Way:
    """How a call went, as libcurl tells it."""

    code: int = 0
    text: str = ""
    asked: int = 1
    """How often it asked whether it may send; 0 if there was no connection."""
    in_time: bool = True
    status: int = 0
    """Of the answer whose head came; 0 for none."""
    headers: tuple[str, ...] = ()
    body: bytes = b""
    system: int = 0
    """The operating system's error."""
    lines: tuple[bytes, ...] = field(default=())
    """A head that is none."""


def came(way: Way, kind: type[Transfer] = Transfer) -> Reply | NoReply:
    """Lead a transfer along a way; return what it makes of it."""
    asked = Call(
        method="POST",
        path="/v1/group/",
        body=b"{}",
        host=Host(HostName("h0"), "http://h0:80"),
        settings=Settings(max_body_bytes=MOST),
        ends=time.monotonic() + 3600,
        may_send=lambda: way.in_time,
        stopping=lambda: False,
    )
    transfer = kind(asked, {}, ())
    transfer.curl.close()
    transfer.curl = NoCurl({pycurl.RESPONSE_CODE: way.status, pycurl.OS_ERRNO: way.system})
    for _ in range(way.asked):
        transfer._may_send()
    head = [f"HTTP/1.1 {way.status} said\r\n", *(f"{each}\r\n" for each in way.headers), "\r\n"]
    for line in way.lines or ([each.encode() for each in head] if way.status else []):
        transfer._header(line)
    if way.body:
        transfer._part(way.body)
    return transfer.came(way.code, way.text)


def answer(status: int, body: bytes = b"", *headers: str) -> Reply | NoReply:
    """What comes of a call that is answered."""
    return came(Way(status=status, headers=headers, body=body))


NOT_SENT = (
    Way(pycurl.E_COULDNT_CONNECT, "Failed to connect", asked=0, system=errno.ECONNREFUSED),
    Way(pycurl.E_COULDNT_CONNECT, "Failed to connect", asked=0, system=errno.EHOSTUNREACH),
    Way(pycurl.E_COULDNT_RESOLVE_HOST, "Could not resolve host: h0", asked=0),
    Way(pycurl.E_OPERATION_TIMEDOUT, "Resolving timed out after 3000 milliseconds", asked=0),
    Way(pycurl.E_OPERATION_TIMEDOUT, "Connection timed out after 3000 milliseconds", asked=0),
    Way(pycurl.E_SSL_CONNECT_ERROR, "TLS connect error: wrong version number", asked=0),
    Way(pycurl.E_PEER_FAILED_VERIFICATION, "SSL certificate problem", asked=0),
    Way(pycurl.E_SSL_CERTPROBLEM, "could not load PEM client certificate", asked=0),
    Way(pycurl.E_SSL_CACERT_BADFILE, "error setting certificate verify locations", asked=0),
    Way(pycurl.E_RECV_ERROR, "Recv failure: Connection reset by peer", asked=0),
    Way(pycurl.E_SEND_ERROR, "Send failure: Broken pipe", asked=0),
    Way(pycurl.E_OUT_OF_MEMORY, "", asked=0),
)
TOO_LATE = Way(pycurl.E_ABORTED_BY_CALLBACK, "operation aborted by pre-request callback", in_time=False)
LOST = (
    Way(pycurl.E_GOT_NOTHING, "Empty reply from server"),
    Way(pycurl.E_OPERATION_TIMEDOUT, "Operation timed out after 10000 milliseconds with 0 bytes received"),
    Way(pycurl.E_RECV_ERROR, "Recv failure: Connection reset by peer"),
    Way(pycurl.E_SEND_ERROR, "Send failure: Broken pipe"),
    Way(pycurl.E_ABORTED_BY_CALLBACK, "operation aborted by pre-request callback", asked=2),
    Way(pycurl.E_SEND_FAIL_REWIND, "necessary data rewind wasn't possible"),
    Way(pycurl.E_RECV_ERROR, "OpenSSL SSL_read: unexpected eof while reading"),
    Way(pycurl.E_RECV_ERROR, "chunk hex-length char not a hex digit: 0x21", status=201),
    Way(
        pycurl.E_PARTIAL_FILE,
        "end of response with 5 bytes missing",
        status=200,
        headers=("Content-Length: 9",),
    ),
    Way(pycurl.E_BAD_CONTENT_ENCODING, "Error while processing content unencoding", status=201),
    Way(pycurl.E_FTP_WEIRD_SERVER_REPLY, "Received HTTP/0.9 when not allowed"),
    Way(pycurl.E_UNSUPPORTED_PROTOCOL, "Unsupported HTTP version in response"),
    Way(AGAIN_TOO_LARGE, "Too large response headers", status=201),
    Way(lines=(b"HTTP/9 201 said\r\n", b"\r\n"), status=200),
)
"""The request had left; nobody knows what became of it, whatever a half answer says."""
EVERY_CODE = tuple(range(1, 102))
