"""A producer's look at a host whose token is replaced just then."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.producer.operators.hosts import ask
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.operation.answer import ProbeAnswer, Probed
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, Presence, Seen
from lockstep.worker.settings import Settings


def test_a_producer_asks_once_more_with_the_token_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    asked: list[str] = []

    def probe(client: HostClient, group: GroupId) -> ProbeAnswer:
        asked.append(token.read_text())
        if asked == ["old"]:
            token.with_suffix(".new").write_text("new")
            token.with_suffix(".new").replace(token)
            return ProbeAnswer(Probed.MISCONFIGURED, "401")
        return ProbeAnswer(Probed.SEEN, "200", Seen(Presence.PRESENT))

    monkeypatch.setattr(HostClient, "probe", probe)
    host = Host(HostName("node1"), "http://node1:1", token_file=str(token))
    assert ask(host, GroupId("g"), Settings())
    assert asked == ["old", "new"]
