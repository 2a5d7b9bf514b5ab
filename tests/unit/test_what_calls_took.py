"""What calls to hosts took: told to who watches them, with the values that the host saw, and counted."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from unittest.mock import Mock

import pytest

from lockstep.worker.hosts import curl, transfer
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.monitoring import metrics
from lockstep.worker.operation.answer import CallFigures, CallWatch, Reply
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.answer_server import KEEP, answering
from tests.unit.answers import http, served
from tests.unit.client import G, client
from tests.unit.places import At, plain, secured
from tests.unit.raw_server import refusing_port
from tests.unit.test_carried import request

ANSWER = http(status=b"200 OK")
WHILE = 0.1
"""Seconds that a host takes until its answer begins, and until it ends."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[CallFigures]:
    """What is told of the calls of this test."""
    found: list[CallFigures] = []
    monkeypatch.setattr(curl, "watches", [lambda *_: ({}, found.append)])
    return found


def test_who_fails_in_watching_a_call_changes_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, told: list[CallFigures]
) -> None:
    begin, end = Mock(side_effect=ZeroDivisionError), Mock(side_effect=ZeroDivisionError)
    monkeypatch.setattr(curl, "watches", [begin, lambda *_: ({}, end), *curl.watches])
    with answering({"x": ANSWER}) as server:
        assert isinstance(curl.Loop().carry(request("POST", f"{server.url}/x/")), Reply)
    assert (begin.call_count, end.call_count, len(told)) == (1, 1, 1)
    assert caplog.text.count("what watches the calls to hosts failed") == 2


def test_the_host_is_told_who_asks_and_nothing_is_measured_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def watch(method: str, where: str) -> CallWatch:
        return {"X-Asked": f"{method} {where}"}, lambda _: None

    with answering({"x": ANSWER}) as server:
        url = f"{server.url}/x/"
        monkeypatch.setattr(curl, "watches", [watch])
        assert isinstance(curl.Loop().carry(request("POST", url)), Reply)
        assert f"X-Asked: POST {url}".encode() in server.head
        monkeypatch.setattr(curl, "watches", [])
        monkeypatch.setattr(transfer, "_carried", lambda _: 1 / 0)
        assert isinstance(curl.Loop().carry(request("POST", url)), Reply)


def slowly(peer: socket.socket) -> bool:
    """Answer after a while, and be at it for as long, and leave the connection open."""
    head, end, body = ANSWER.partition(b"\r\n\r\n")
    for part in (head + end, body):
        threading.Event().wait(WHILE)
        peer.sendall(part)
    return True


@pytest.mark.parametrize("at", [plain, secured()], ids=["plain", "TLS"])
def test_each_part_of_a_call_is_told_when_it_was_there(told: list[CallFigures], at: At) -> None:
    loop, say = curl.Loop(), slowly
    with served() as server:
        server.rows = {**server.rows, "x": say}
        with at(server, "x", say) as (host, _):
            for _ in range(2):
                call = replace(request("POST", host.url + "/"), host=host, path="/")
                assert isinstance(loop.carry(call), Reply)
    first, second = told
    begun = first.secured if at is not plain else first.connected
    assert 0 < first.connected <= begun <= first.first_byte - WHILE
    assert (first.secured > first.connected) is (at is not plain)
    assert (second.connected, second.secured) == (0, 0)
    for each in told:
        assert WHILE <= each.first_byte < each.total >= 2 * WHILE
    assert [(each.kept, each.status) for each in told] == [(False, 200), (True, 200)]


@pytest.mark.parametrize(("verb", "size"), [("GET", 0), ("POST", 16), ("PUT", 2_000_000)])
def test_the_bytes_are_those_that_the_host_saw(told: list[CallFigures], verb: str, size: int) -> None:
    with answering({"x": KEEP + ANSWER}) as server:
        asked = request(verb, f"{server.url}/x/")
        assert isinstance(curl.Loop().carry(replace(asked, body=b"x" * size if size else None)), Reply)
        seen = len(server.head) + len(b"\r\n\r\n") + size
    assert [(each.sent, each.received) for each in told] == [(seen, len(ANSWER))]


def test_each_value_is_counted_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[object, ...]] = []
    monkeypatch.setattr(metrics, "count", lambda *labels, by=1: counted.append((*labels, by)))
    monkeypatch.setattr(metrics, "took", lambda name, seconds, *labels: counted.append((*labels, seconds)))
    new = CallFigures(0.1, 0.2, 0.3, 0.4, sent=50, received=60, kept=False, status=200)
    bytes_of = [("call_bytes", "sent", 50), ("call_bytes", "received", 60)]
    last = [("first_byte", 0.3), ("total", 0.4)]
    for carried, kept, phases in (
        (new, "new", [("connect", 0.1), ("tls", 0.2)]),
        (replace(new, secured=0.0), "new", [("connect", 0.1)]),
        (replace(new, connected=0.0, secured=0.0, kept=True), "kept", []),
    ):
        counted.clear()
        metrics.call_carried(carried)
        assert counted == [*phases, *last, *bytes_of, ("requests", kept, 1)]


def test_a_refused_connection_is_neither_kept_nor_new(
    monkeypatch: pytest.MonkeyPatch, told: list[CallFigures]
) -> None:
    counted: list[tuple[object, ...]] = []
    monkeypatch.setattr(metrics, "count", lambda *labels, **_: counted.append(labels))
    client(f"http://127.0.0.1:{refusing_port()}").look_at_group(G)
    (carried,) = told
    assert (carried.kept, carried.first_byte, carried.sent, carried.received) == (False, 0, 0, 0)
    metrics.call_carried(carried)
    assert counted == [("call_bytes", "sent"), ("call_bytes", "received")]


def test_who_watches_is_told_of_a_call_that_was_never_begun(told: list[CallFigures | None]) -> None:
    absent = Host(HostName("a"), "https://127.0.0.1:1", verify="/nowhere/ca.pem")
    assert (
        HostClient(absent, Settings(), curl.exchange)
        .look_at_group(G)
        .text.startswith("not sent: its ca_file")
    )
    assert told == [None]
