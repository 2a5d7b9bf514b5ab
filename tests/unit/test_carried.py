"""How calls are carried over libcurl: each once, over which connection, and ended when it is to be."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from socket import socket
from threading import Event, Thread
from unittest.mock import Mock

import pycurl
import pytest

from lockstep.worker.hosts import curl, transfer
from lockstep.worker.hosts.client import Call
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from tests.unit.answer_server import KEEP, Answering, answering, tell
from tests.unit.answers import BODY, CARRIERS, USUAL, http, served
from tests.waits import PATIENCE, eventually


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with served() as running:
        yield running


VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LOOPS = {False: curl.Loop(), True: curl.Loop()}
"""What carries calls over fresh connections, and over one that another call has left."""


def request(verb: str, url: str, may_send: Callable[[], bool] = lambda: True) -> Call:
    return Call(
        verb,
        "/" + url.split("/", 3)[3],
        body=None if verb in ("GET", "HEAD") else BODY,
        host=Host(HostName("node1"), url.rsplit("/", url.count("/") - 2)[0]),
        settings=USUAL.but(connect_timeout=5.0, read_timeout=5.0),
        ends=time.monotonic() + 10,
        may_send=may_send,
        stopping=lambda: False,
    )


def endless(verb: str, url: str) -> Call:
    """Ask, and wait for longer than a test may take."""
    ends = time.monotonic() + 2 * PATIENCE
    return replace(request(verb, url), settings=USUAL.but(read_timeout=2 * PATIENCE), ends=ends)


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("name", ["closed", "half_a_status", "reset", "reset_in_the_head"])
@pytest.mark.parametrize("verb", VERBS)
def test_no_request_is_sent_a_second_time(server: Answering, verb: str, name: str, kept: bool) -> None:
    carry = LOOPS[kept].carry
    if kept:
        assert isinstance(carry(request("GET", f"{server.url}/success/v1/group/g/")), Reply)
    asked = server.asked[name]
    said = carry(request(verb, f"{server.url}/{name}/v1/group/"))
    assert isinstance(said, NoReply)
    assert said.trouble is Trouble.LOST
    assert (server.asked[name], server.kept) == (asked + 1, kept)


@pytest.mark.parametrize("verb", VERBS)
def test_a_host_that_closes_each_connection_without_a_word_is_asked_over_new_ones(
    server: Answering, verb: str
) -> None:
    for _ in range(3):
        before, closed = server.asked["no_last_word"], server.closed["no_last_word"]
        said = LOOPS[True].carry(request(verb, f"{server.url}/no_last_word/v1/group/"))
        assert isinstance(said, Reply), said
        assert server.asked["no_last_word"] == before + 1
        eventually(lambda: server.closed["no_last_word"] > closed, "the host has hung up")  # noqa: B023


@pytest.mark.parametrize("verb", VERBS)
def test_an_answer_that_nobody_asked_for_is_not_taken_for_that_of_the_next_request(verb: str) -> None:
    """It comes when the first has been read to its end, and the connection is kept."""
    go, gone = Event(), Event()

    def twice(peer: socket) -> bool:
        peer.sendall(http(status=b"404 Not Found"))
        assert go.wait(PATIENCE)
        tell(peer, http(status=b"201 Created"))
        gone.set()
        return True

    loop = curl.Loop()
    with answering({"twice": twice, "refused": KEEP + http(status=b"403 Forbidden")}) as server:
        first = loop.carry(request("GET", f"{server.url}/twice/"))
        go.set()
        assert gone.wait(PATIENCE)
        said = loop.carry(request(verb, f"{server.url}/refused/"))
        assert [said.status for said in (first, said) if isinstance(said, Reply)] == [404, 403]
        assert (server.connections, server.asked["refused"]) == (2, 1)


def test_a_request_that_may_not_be_sent_is_not_over_a_kept_connection_either(server: Answering) -> None:
    assert isinstance(LOOPS[True].carry(request("POST", f"{server.url}/success/")), Reply)
    connections, asked = server.connections, server.asked["success"]
    assert isinstance(LOOPS[True].carry(request("POST", f"{server.url}/success/", lambda: False)), NoReply)
    assert (server.connections, server.asked["success"]) == (connections, asked)


def test_at_most_so_many_connections_are_kept(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curl, "IDLE", 2)
    loop = curl.Loop()
    before = server.connections

    def ask(row: str) -> None:
        with ThreadPoolExecutor(5) as pool:
            assert all(pool.map(lambda _: loop.carry(request("GET", f"{server.url}/{row}/")), range(5)))

    ask("together")
    assert server.connections == before + 5
    ask("together")
    assert server.connections == before + 5 + 3, "of five that were open, two were kept"


def test_a_connection_that_was_idle_for_too_long_is_not_used(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, before = curl.Loop(), server.connections
    for _ in range(2):
        assert isinstance(loop.carry(request("GET", f"{server.url}/success/")), Reply)
    assert server.connections == before + 1
    monkeypatch.setattr(transfer, "IDLE_SECONDS", 1)
    old = time.monotonic() + 2.1  # libcurl counts whole seconds
    eventually(lambda: time.monotonic() > old, "it is old enough")
    assert isinstance(loop.carry(request("GET", f"{server.url}/success/")), Reply)
    assert server.connections == before + 2


def test_connections_are_those_of_all_threads(server: Answering) -> None:
    loop, before = curl.Loop(), server.connections
    for _ in range(3):
        with ThreadPoolExecutor(1) as another:
            said = another.submit(loop.carry, request("GET", f"{server.url}/success/")).result()
            assert isinstance(said, Reply)
    assert server.connections == before + 1


def test_what_is_sent_is_what_was_asked_for_and_nothing_of_the_environment(
    server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = "http://127.0.0.1:1"
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    for carry in CARRIERS.values():
        path = "cookies/../a//%7e/./" if carry is curl.exchange else "cookies/"
        for _ in range(2):
            assert isinstance(carry(request("POST", f"{server.url}/{path}")), Reply)
        head = server.head.decode().split("\r\n")
        assert head[0] == f"POST /{path} HTTP/1.1"
        names = {line.partition(":")[0].lower() for line in head[1:]}
        assert not names & {"cookie", "authorization", "content-type", "expect", "proxy-connection"}
        assert {"user-agent: lockstep", "accept-encoding: identity"} <= {line.lower() for line in head}


@pytest.mark.parametrize(("verb", "within"), [("GET", 0.0), ("POST", transfer.GRACE)])
def test_a_worker_that_is_told_to_stop_waits_no_longer(server: Answering, verb: str, within: float) -> None:
    asked, stopping = server.asked["silence"], Event()
    call = replace(endless(verb, f"{server.url}/silence/"), stopping=stopping.is_set)
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(LOOPS[True].carry, call)
        eventually(lambda: server.asked["silence"] == asked + 1, "it was asked")
        stopping.set()
        began = time.monotonic()
        assert said.result() == NoReply(Trouble.LOST, "the worker is being stopped")
    assert within <= time.monotonic() - began < within + 2.0


def test_ctrl_c_ends_a_call_at_once(server: Answering) -> None:
    asked = server.asked["silence"]

    def interrupt() -> None:
        eventually(lambda: server.asked["silence"] == asked + 1, "it was asked")
        os.kill(os.getpid(), signal.SIGINT)

    closed = server.closed["silence"]
    other = Thread(target=interrupt)
    other.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        LOOPS[True].carry(endless("POST", f"{server.url}/silence/"))
    assert time.monotonic() - began < 2.0
    other.join()
    eventually(lambda: server.closed["silence"] > closed, "its connection is given up")


def test_what_nobody_waits_for_any_more_does_not_leave(server: Answering) -> None:
    """Who waited was interrupted while it connected, and the loop has not looked since."""
    asked, connections = server.asked["success"], server.connections
    call = transfer.Transfer(request("POST", f"{server.url}/success/"), {}, [])
    call.given_up = True
    with pytest.raises(pycurl.error):
        call.curl.perform()
    eventually(lambda: server.connections == connections + 1, "it had connected")
    assert (call.sent, server.asked["success"]) == (False, asked)


@pytest.mark.parametrize("broken", ["Transfer._keep", "seconds_to_wait"])
def test_what_fails_in_the_middle_is_told_and_the_next_call_goes_on(
    server: Answering, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = curl.Loop()
    with monkeypatch.context() as patched:
        patched.setattr(f"lockstep.worker.hosts.transfer.{broken}", lambda *_: 1 / 0)
        said = loop.carry(request("POST", f"{server.url}/success/"))
    assert said == NoReply(Trouble.LOST, "what carries the calls failed")
    assert "begins anew" in caplog.text
    assert isinstance(loop.carry(request("POST", f"{server.url}/success/")), Reply)


@pytest.mark.parametrize(
    "lacking",
    [
        OSError(24, "Too many open files"),
        RuntimeError("can't start new thread"),
        pycurl.error(27, "Out of memory"),
    ],
)
def test_a_process_that_may_not_have_what_a_call_needs_has_not_sent_it(
    server: Answering, lacking: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = curl.Loop()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe", Mock(side_effect=lacking))
        said = loop.carry(request("POST", f"{server.url}/success/"))
    assert said == NoReply(Trouble.NOT_SENT, f"connection error: {lacking}")
    assert isinstance(loop.carry(request("POST", f"{server.url}/success/")), Reply)
