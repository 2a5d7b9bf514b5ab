"""Hosts that speak HTTP/2: they are asked in it, and a request leaves once, whatever HTTP/2 would allow."""

from __future__ import annotations

import shutil
import ssl
import threading

import pytest

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Carry, HostClient, SystemClock
from lockstep.worker.operation.answer import LookVerdict, in_time
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, HostName
from lockstep.worker.settings import Settings
from tests.unit.answer_server import tell
from tests.unit.client import G
from tests.unit.frames import GONE, NOT_FOUND, PING, REFUSED, Frames, speaking
from tests.unit.places import TRUSTED, authority, context
from tests.waits import PATIENCE

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


def called(server: Frames, carry: Carry) -> HostClient:
    host = Host(HostName("n"), server.url, verify=str(authority(TRUSTED).file))
    return HostClient(host, Settings(), carry)


@pytest.mark.parametrize(
    ("carry", "speaks", "times"),
    [(curl.Loop().carry, "h2", 2), (looks.exchange, "http/1.1", 1)],
    ids=["libcurl", "requests"],
)
def test_http2_is_spoken_where_the_host_offers_it(carry: Carry, speaks: str, times: int) -> None:
    with speaking(context(), NOT_FOUND) as server:
        host = called(server, carry)
        assert [host.look_at_group(G).verdict for _ in range(times)] == [LookVerdict.SEEN] * times
        assert server.spoken == [speaks]


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("turned_away", [REFUSED, GONE], ids=["REFUSED_STREAM", "GOAWAY"])
def test_a_write_that_may_be_sent_again_is_sent_once(turned_away: bytes, kept: bool) -> None:
    """libcurl would send it again by itself, as RFC 9113 (8.7) has it; the record would not know of that."""
    with speaking(context(), *([NOT_FOUND] if kept else []), turned_away) as server:
        host = called(server, curl.Loop().carry)
        if kept:
            assert host.look_at_group(G).verdict is LookVerdict.SEEN
        said = host.write(Action.CREATE, G, AttemptId("a1"), in_time(SystemClock(), 10))
        assert (said.effect, server.asked) == (Effect.UNKNOWN, 1 + kept), said


def test_a_connection_is_kept_though_something_came_that_belongs_to_no_request() -> None:
    go, gone = threading.Event(), threading.Event()

    def ping(connection: ssl.SSLSocket) -> None:
        if server.asked == 1:
            assert go.wait(PATIENCE)
            tell(connection, PING)
            gone.set()

    with speaking(context(), NOT_FOUND) as server:
        server.then, host = ping, called(server, curl.Loop().carry)
        assert host.look_at_group(G).verdict is LookVerdict.SEEN
        go.set()
        assert gone.wait(PATIENCE)
        assert host.look_at_group(G).verdict is LookVerdict.SEEN
        assert server.spoken == ["h2"]
