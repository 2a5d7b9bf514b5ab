"""A request that is sent whole, and whose client does not wait for the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.producer.doctor.scratch import send_and_leave
from lockstep.worker.hosts.client import Call
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.raw_server import RawServer, refusing_port, serving

BODY = json.dumps({"groupId": "a"}).encode()


@pytest.mark.parametrize("hold", [0.0, 0.05])
def test_the_whole_request_is_sent_and_the_connection_closed(hold: float, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("sesame\n")
    with serving(RawServer.until_closed) as server:
        host = Host(HostName("node1"), f"{server.url}/api", token_file=str(token))
        send_and_leave(host, Settings(), BODY, hold)
        assert server.closed.wait(10)
        head, _, body = bytes(server.received).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/group/ HTTP/1.1\r\n")
    assert b"Authorization: Bearer sesame" in head
    assert b"Content-Type: application/json" in head
    assert body == BODY


def test_a_request_that_cannot_be_sent_is_an_error() -> None:
    host = Host(HostName("node1"), f"http://127.0.0.1:{refusing_port()}")
    with pytest.raises(OSError, match="refused"):
        send_and_leave(host, Settings(), BODY, 0.0)


@pytest.mark.parametrize(("hold", "patience"), [(0.0, 0.001), (0.25, 0.25)])
def test_an_answer_is_waited_for_as_long_as_is_asked(
    hold: float, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Call] = []

    def exchange(call: Call) -> Reply:
        asked.append(call)
        return Reply(201)

    monkeypatch.setattr("lockstep.producer.looks.exchange", exchange)
    send_and_leave(Host(HostName("node1"), "http://node1:1"), Settings(), BODY, hold)
    assert [call.settings.read_timeout for call in asked] == [patience]
