"""The table of answers: what a host says, and what it means to each carrier."""

from __future__ import annotations

import gzip
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Carry, HostClient
from lockstep.worker.operation.answer import LookVerdict
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.settings import Settings
from tests.unit import frames, places
from tests.unit.answer_server import (
    KEEP,
    Answering,
    Say,
    after,
    answering,
    dripping,
    endless,
    reset,
    together,
    until_closed,
    unwrap,
)
from tests.unit.places import At, asks, elsewhere, empty, handshaking, locked, old, secured, showing
from tests.unit.raw_server import refusing_port
from tests.waits import eventually

G = GroupId("g")
BODY = b'{"groupId": "g"}'
SEEN, NOTHING, MISCONFIGURED, OVERSIZED = (
    LookVerdict.SEEN,
    LookVerdict.NO_INFORMATION,
    LookVerdict.MISCONFIGURED,
    LookVerdict.OVERSIZED,
)
MISDIRECTED = Effect.MISDIRECTED
APPLIED, UNKNOWN, REFUSED, CONTESTED = Effect.APPLIED, Effect.UNKNOWN, Effect.REFUSED, Effect.CONTESTED
CARRIERS: dict[str, Carry] = {"libcurl": curl.exchange, "requests": looks.exchange}


def http(*headers: bytes, body: bytes = BODY, status: bytes = b"OK!", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Length: %d" % size, *headers))
    return head + b"\r\n\r\n" + body


def chunked(*parts: bytes, length: int | None = None) -> bytes:
    said = b"" if length is None else b"Content-Length: %d\r\n" % length
    return b"HTTP/1.1 OK!\r\n" + said + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


USUAL = Settings(max_body_bytes=100_000)


@dataclass(frozen=True)
class Row:
    """An answer, and what it means; `by_requests` where requests reads less than libcurl, or not so."""

    say: Say
    look: LookVerdict
    verdict: Effect
    by_requests: tuple[LookVerdict, Effect] | None = None
    settings: Settings = USUAL
    at: At = places.plain
    sent: int = 1
    """How many requests reach the host for each call."""


ENDED = (NOTHING, UNKNOWN)
UNSENT = (NOTHING, Effect.NOT_APPLIED)
NOT_THERE = (SEEN, REFUSED)
PATIENT = Settings(connect_timeout=3, read_timeout=1, call_timeout=4)
SLOW = (*ENDED, None, PATIENT)
"""Ended by the time that a call may take: enough for a request to leave a busy machine."""
TWICE = b"Content-Encoding: gzip, gzip"
NO_DATE = b"Retry-After: Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
BROTLI = b"\x8b\x07\x80" + BODY + b"\x03"
BOMB = gzip.compress(b"x" * 50_000_000, 9)
FOUND = frames.OK + frames.frame(frames.DATA, 1, BODY)
CUT_OFF = frames.OK + frames.frame(frames.DATA, 0, BODY) + frames.REFUSED
UNENDED = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
ALERT = b"\x15\x03\x03\0\2\2\x28"
"""TLS: the handshake failed."""


def unsent(at: At, say: Say = b"", settings: Settings = USUAL) -> Row:
    """Return a row in which nothing is sent."""
    return Row(say, *UNSENT, None, settings, at, sent=0)


ROWS = {
    # statuses
    "success": Row(KEEP + http(), SEEN, APPLIED),
    "no-body": Row(KEEP + http(body=b""), NOTHING, APPLIED),
    "absent": Row(KEEP + http(status=b"404 Not Found"), SEEN, REFUSED),
    "contested": Row(KEEP + http(status=b"409 Conflict"), MISCONFIGURED, CONTESTED),
    "refused": Row(KEEP + http(status=b"403 Forbidden"), MISCONFIGURED, REFUSED),
    "broken": Row(KEEP + http(status=b"500 Oh"), *ENDED),
    "busy": Row(KEEP + http(b"Retry-After: 1", status=b"503 Busy"), *ENDED),
    "busy until no date": Row(KEEP + http(NO_DATE, status=b"503 Busy"), *ENDED),
    "moved": Row(KEEP + http(b"Location: /success/", status=b"307 Moved"), MISCONFIGURED, MISDIRECTED),
    "status 999": Row(KEEP + http(status=b"999 What"), MISCONFIGURED, UNKNOWN),
    "status of two digits": Row(KEEP + http(status=b"20 OK"), *ENDED),
    "status of four digits": Row(KEEP + http(status=b"2010 OK"), *ENDED),
    "no reason": Row(KEEP + b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", SEEN, REFUSED),
    # bodies
    "another group": Row(KEEP + http(body=b'{"groupId": "h"}'), *ENDED),
    "no JSON": Row(KEEP + http(body=b"<html>"), *ENDED),
    "a mark": Row(KEEP + http(body=b"\xef\xbb\xbf" + BODY), SEEN, APPLIED),
    "UTF-16": Row(KEEP + http(body=BODY.decode().encode("utf-16")), SEEN, APPLIED),
    "Latin-1": Row(KEEP + http(body=b'{"groupId": "g", "n": "\xe9"}'), *ENDED),
    "too large": Row(KEEP + http(body=b"x" * 100_001), OVERSIZED, UNKNOWN),
    "endless body": Row(after(b"HTTP/1.1 200 OK\r\n\r\n", endless(b"x" * 65536)), OVERSIZED, UNKNOWN),
    "endless chunks": Row(after(CHUNKED, endless(chunk(b"x" * 999))), OVERSIZED, UNKNOWN),
    # encodings
    "gzip": Row(KEEP + http(b"Content-Encoding: gzip", body=gzip.compress(BODY)), SEEN, APPLIED),
    "deflate": Row(KEEP + http(b"Content-Encoding: deflate", body=zlib.compress(BODY)), SEEN, APPLIED),
    "no gzip": Row(KEEP + http(b"Content-Encoding: gzip"), *ENDED),
    "half a gzip": Row(KEEP + http(b"Content-Encoding: gzip", body=gzip.compress(BODY)[:-16]), *ENDED),
    "more than a brotli": Row(KEEP + http(b"Content-Encoding: br", body=BROTLI + b"more"), *ENDED),
    "unknown encoding": Row(KEEP + http(b"Content-Encoding: rot13", body=b"{tebhcVq}"), *ENDED),
    "bomb": Row(KEEP + http(b"Content-Encoding: gzip", body=BOMB), OVERSIZED, UNKNOWN),
    "bomb in a bomb": Row(KEEP + http(TWICE, body=gzip.compress(BOMB)), OVERSIZED, UNKNOWN),
    # lengths
    "chunks": Row(KEEP + chunked(chunk(BODY), b"0\r\n\r\n"), SEEN, APPLIED),
    "chunks and trailers": Row(KEEP + chunked(chunk(BODY), b"0\r\nX: HTTP/1.1\r\n\r\n"), SEEN, APPLIED),
    "a chunk of less than nothing": Row(chunked(b"-5\r\n{}\r\n0\r\n\r\n"), *ENDED),
    "no last chunk": Row(chunked(chunk(BODY)), *ENDED),
    "chunks and a length": Row(KEEP + chunked(chunk(BODY), b"0\r\n\r\n", length=3), SEEN, APPLIED),
    "until the end": Row(b"HTTP/1.1 OK!\r\n\r\n" + BODY, SEEN, APPLIED),
    "length too large": Row(http(length=99), *ENDED),
    "length too small": Row(KEEP + http(length=5), *ENDED),
    "length below nothing": Row(http(length=-5), *ENDED, (SEEN, APPLIED)),
    "two lengths": Row(http(b"Content-Length: 5"), *ENDED),
    "no length": Row(http().replace(b": 16", b": many"), *ENDED, (SEEN, APPLIED)),
    # early ends
    "closed": Row(b"", *ENDED),
    "half a status": Row(b"HTTP/1.1 20", *ENDED),
    "half a line": Row(b"HTTP/1.1 404 Not", *ENDED),
    "half a header": Row(b"HTTP/1.1 404 Not Found\r\nContent-Le", *ENDED),
    "half a head": Row(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", *ENDED),
    "reset": Row(reset, *ENDED),
    "reset in the head": Row(after(b"HTTP/1.1 404 Not Found\r\nConte", reset), *ENDED),
    "reset in the body": Row(after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", reset), *ENDED),
    # slowness
    "silence": Row(until_closed, *SLOW),
    "silence after the head": Row(after(http(body=b"", length=9, status=b"200 OK"), until_closed), *SLOW),
    "dripping status": Row(dripping(b"HTTP/1.1 200 " + b"O" * 999), *SLOW),
    "dripping headers": Row(after(b"HTTP/1.1 200 OK\r\n", dripping(b"X: and more\r\n")), *SLOW),
    "dripping body": Row(after(b"HTTP/1.1 200 OK\r\n\r\n", dripping(b" ")), *SLOW),
    # interim answers and upgrades
    "continue": Row(KEEP + b"HTTP/1.1 100 Continue\r\n\r\n" + http(), SEEN, APPLIED),
    "early hints": Row(KEEP + b"HTTP/1.1 103 Early\r\nContent-Length: 7\r\n\r\n" * 2 + http(), SEEN, APPLIED),
    "an interim answer alone": Row(b"HTTP/1.1 102 Processing\r\n\r\n", *ENDED),
    "endless interim answers": Row(endless(b"HTTP/1.1 102 Processing\r\n\r\n"), *SLOW),
    "upgrade": Row(
        after(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n\x88\x00", until_closed), MISCONFIGURED, UNKNOWN
    ),
    # headers
    "5,000 headers": Row(KEEP + http(*(b"X-%d: 1" % n for n in range(4999))), SEEN, APPLIED),
    "5,001 headers": Row(http(*(b"X-%d: 1" % n for n in range(5000))), *ENDED),
    "many headers that are cut off": Row(http(*(b"X-%d: 1" % n for n in range(200)))[:1500], *ENDED),
    "a large header": Row(KEEP + http(b"X: " + b"x" * 102_394), SEEN, APPLIED),
    "too large a header": Row(http(b"X: " + b"x" * 102_395), *ENDED),
    "large headers": Row(KEEP + http(*[b"X: " + b"x" * 99_000] * 3), SEEN, APPLIED),
    "too large headers": Row(http(*[b"X: " + b"x" * 99_000] * 4), *ENDED),
    "many headers of an interim answer": Row(
        KEEP + b"HTTP/1.1 103 Early\r\n" + b"X: 1\r\n" * 200 + b"\r\n" + http(), SEEN, APPLIED
    ),
    "endless headers": Row(after(b"HTTP/1.1 200 OK\r\n", endless(b"X: 1\r\n")), *SLOW),
    "an endless header": Row(after(b"HTTP/1.1 200 OK\r\n", endless(b"x" * 999)), *SLOW),
    "a header without a colon": Row(http(b"no header"), *ENDED, (SEEN, APPLIED)),
    "a zero in a header": Row(http(b"X: a\0b"), *ENDED, (SEEN, APPLIED)),
    "bare line feeds": Row(KEEP + http().replace(b"\r\n", b"\n"), SEEN, APPLIED),
    # other versions
    "HTTP/1.0": Row(http().replace(b"HTTP/1.1", b"HTTP/1.0"), SEEN, APPLIED),
    "HTTP/0.9": Row(BODY, *ENDED),
    "HTTP/2 unasked": Row(KEEP + b"HTTP/2 500\r\nContent-Length: 16\r\n\r\n" + BODY, *ENDED),
    "HTTP/3.1": Row(KEEP + http().replace(b"HTTP/1.1", b"HTTP/3.1"), *ENDED),
    "no HTTP": Row(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", *ENDED),
    "HTTP/2 absent": Row(frames.NOT_FOUND, *NOT_THERE, at=places.in_frames),
    "HTTP/2 found": Row(FOUND, SEEN, UNKNOWN, NOT_THERE, at=places.in_frames),
    "HTTP/2 cut off": Row(CUT_OFF, *ENDED, NOT_THERE, at=places.in_frames),
    "HTTP/2 refuses": Row(frames.REFUSED, *ENDED, NOT_THERE, at=places.in_frames),
    "HTTP/2 goes away": Row(frames.GONE, *ENDED, NOT_THERE, at=places.in_frames),
    "HTTP/2 without frames": Row(BODY * 9, *ENDED, NOT_THERE, at=places.in_frames),
    # TLS
    "TLS": Row(KEEP + http(), SEEN, APPLIED, at=secured()),
    "TLS until the end": Row(after(UNENDED, unwrap), SEEN, UNKNOWN, at=secured()),
    "TLS cut off": Row(UNENDED, *ENDED, at=secured()),
    "TLS to another address": Row(
        KEEP + http(), SEEN, APPLIED, at=secured(lambda: {"server_name": "localhost"}, "127.0.0.1")
    ),
    "TLS with a certificate of ours": Row(KEEP + http(), SEEN, APPLIED, at=secured(showing, prepare=asks)),
    "of a stranger": unsent(secured(lambda: {"verify": True})),
    "of another name": unsent(secured(name="127.0.0.1")),
    "none of ours": unsent(secured(prepare=asks)),
    "a stranger's for ours": unsent(secured(lambda: showing(by="stranger"), prepare=asks)),
    "another's key": unsent(secured(lambda: showing(key="you"), prepare=asks)),
    "a locked key": unsent(secured(locked, prepare=asks)),
    "no authority": unsent(secured(lambda: {"verify": "/nowhere/ca.pem"})),
    "an empty authority": unsent(secured(empty)),
    "TLS 1.1": unsent(secured(prepare=old)),
    "no TLS": unsent(places.unsecured),
    "closed in the handshake": unsent(handshaking, socket.socket.close),
    "reset in the handshake": unsent(handshaking, reset),
    "an alert in the handshake": unsent(handshaking, after(ALERT, until_closed)),
    "silence in the handshake": unsent(handshaking, until_closed, PATIENT),
    "dripping handshake": unsent(handshaking, dripping(b"\x16\x03\x03\x40" + b"\0" * 16384), PATIENT),
    # nobody
    "no such name": unsent(elsewhere(lambda: "http://node1.invalid:8080")),  # RFC 6761: it resolves nowhere
    "too long a name": unsent(elsewhere(lambda: f"http://{'a' * 64}.example:8080")),
    "nobody listens": unsent(elsewhere(lambda: f"http://127.0.0.1:{refusing_port()}")),
}  # fmt: skip


Met = tuple[LookVerdict, int, Effect, int, str]
"""What a look and a write came to, each with how many requests the host had seen by then, and in words."""


def meet(server: Answering, name: str, carrier: str) -> Met:
    """Look at a host that answers so, and write to it."""
    row, path = ROWS[name], name.replace(" ", "_").replace("/", "-")
    with row.at(server, path, row.say) as (there, asked):
        host = HostClient(there, row.settings, CARRIERS[carrier])
        before = asked()

        def read(number: int) -> int:
            """Return how many requests the host has read, which may be busy with other rows for a while."""
            with suppress(AssertionError):
                eventually(lambda: asked() - before >= number, "it has read them")
            return asked() - before

        answer = host.look_at_group(G)
        looked = read(row.sent)
        said = host.write(Action.CREATE, G, AttemptId("a1"), lambda: True)
        return answer.verdict, looked, said.effect, read(2 * row.sent), f"{answer.text}; {said.text}"


@contextmanager
def served() -> Iterator[Answering]:
    """Serve all rows, and more of which each test says what it is for, until the end of the block."""
    rows = {name.replace(" ", "_").replace("/", "-"): row.say for name, row in ROWS.items()}
    rows["cookies"] = KEEP + http(b"Set-Cookie: a=b; Path=/", status=b"200 OK")
    rows["no_last_word"] = http()
    rows["together"] = together(5, http(status=b"200 OK"))
    with answering(rows) as running:
        yield running
