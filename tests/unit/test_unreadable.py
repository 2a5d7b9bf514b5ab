"""An answer that cannot be read says why, whatever carries it."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest

from lockstep.worker.hosts import direct, pooled
from lockstep.worker.hosts.direct import carrier
from lockstep.worker.hosts.guard import Exchange
from lockstep.worker.operation.answer import Probed, Verdict
from lockstep.worker.operation.model import Why
from tests.unit.client import G, client, write
from tests.unit.raw_server import RawServer, serving

GROUP = b'{"groupId": "g"}'


def answer(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """A 200 with these headers, and a Content-Length that may be wrong."""
    said = len(body) if length is None else length
    head = b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Length: %d" % said, *headers))
    return head + b"\r\n\r\n" + body


GZIPPED = answer(gzip.compress(GROUP), b"Content-Encoding: gzip")
UNREADABLE = {
    "gzip": (GZIPPED, '200, unreadable: the body is encoded ("gzip"), which was not asked for'),
    "headers": (
        answer(GROUP, *(b"X-%d: 1" % n for n in range(101))),
        "unreadable: it has more than 100 headers",
    ),
    "header": (answer(GROUP, b"X: " + b"x" * 70_000), "unreadable: a header is longer than 64 KiB"),
    "mark": (
        answer(b"\xef\xbb\xbf" + GROUP),
        "200, unreadable: the body begins with a byte order mark, and JSON has none",
    ),
    "UTF-16": (
        answer(GROUP.decode().encode("utf-16")),
        "200, unreadable: the body begins with a byte order mark, and JSON has none",
    ),
    "Latin-1": (answer(b'{"groupId": "g", "n": "\xe9"}'), "200, unreadable: the body is not UTF-8"),
    "too long": (
        answer(GROUP, length=len(GROUP) + 5),
        "unreadable: the body is shorter than its Content-Length, or its chunks, say",
    ),
    "too short": (
        answer(GROUP, length=len(GROUP) - 5),
        "200, unreadable: the body is no JSON, or was cut off by a wrong Content-Length",
    ),
    "other": (answer(b'{"groupId": "h"}'), "200, unreadable: the body is that of another id"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "unreadable: it is no HTTP"),
}


@pytest.fixture(params=[direct.exchange, pooled.exchange], ids=["direct", "pooled"])
def _carried(request: pytest.FixtureRequest) -> Iterator[None]:
    exchange: Exchange = request.param
    before = carrier.set(exchange)
    yield
    carrier.reset(before)


@pytest.mark.usefixtures("_carried")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_look_says_why_it_told_nothing(kind: str) -> None:
    said, text = UNREADABLE[kind]

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(said)

    with serving(behave) as server:
        found = client(server.url).probe(G)
    assert (found.probed, found.text, found.why) == (Probed.NO_INFORMATION, text, Why.UNREADABLE)
    assert found.replied, "the host lives"
    assert not found.usable


@pytest.mark.usefixtures("_carried")
@pytest.mark.parametrize("kind", ["gzip", "headers", "header", "too long", "no HTTP"])
def test_a_write_with_such_an_answer_is_of_unknown_fate(kind: str) -> None:
    said, text = UNREADABLE[kind]

    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(said.replace(b"200 OK", b"201 Created"))

    with serving(behave) as server:
        found = write(client(server.url))
    assert (found.verdict, found.text) == (Verdict.UNKNOWN, text.replace("200", "201"))
    assert found.why is Why.UNREADABLE


@pytest.mark.usefixtures("_carried")
def test_a_body_that_stands_still_is_told_from_a_silent_host() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(answer(GROUP, length=len(GROUP) + 5))
        server.until_closed(peer)

    with serving(behave) as server:
        found = client(server.url, read_timeout=0.2, settle_seconds=1).probe(G)
    assert found.text == "unreadable: the body stood still before the end that its Content-Length gives"


@pytest.mark.usefixtures("_carried")
def test_absence_needs_no_body() -> None:
    def behave(server: RawServer, peer: socket.socket) -> None:
        server.request(peer)
        peer.sendall(GZIPPED.replace(b"200 OK", b"404 Not Found"))

    with serving(behave) as server:
        assert client(server.url).probe(G).probed is Probed.SEEN
