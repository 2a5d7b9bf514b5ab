"""A host in memory whose time passes by waits alone, and which may lag, or answer otherwise than it does."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

import pytest

from lockstep.producer.doctor import contract, scratch
from lockstep.producer.operators import hosts
from lockstep.worker.hosts.client import Call
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings

KEPT = {
    "GET of an absent group": "404",
    "POST of a new group": "201",
    "GET of a present group": "200",
    "POST of a present group": "400",
    "DELETE of a present group": "200",
    "DELETE of an absent group": "404",
    "unknown fields": "kept",
    "restoring a group": "POST takes back all that GET had shown",
}
"""What the probe finds of a host that keeps the contract."""

SETTINGS = Settings(
    connect_timeout=1, read_timeout=1, call_timeout=2, settle_seconds=2, backoff_base=0.1, backoff_cap=0.1
)
LOST = NoReply(Trouble.LOST, "read timeout")
Answer = Reply | NoReply | tuple[Reply | NoReply] | None
"""Instead of doing anything; of a tuple after it was done; None as it should."""


class Clock:
    """Each user has one, and all tell the same time."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.node.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self.node.now += seconds


@dataclass
class Node:
    """Keeps groups; `odd` has what it answers next, by method."""

    lag: float = 0.0
    odd: dict[str, Iterator[Answer]] = field(default_factory=dict)
    drops: bool = False
    """Fields that it does not know."""
    adds: tuple[str, ...] = ()
    """Fields of its own, to a group that it has never had."""
    takes: float = 0.0
    """Seconds until it answers."""
    shows_after: float = 0.0
    """As the inventory says."""
    now: float = 0.0
    changes: dict[str, list[tuple[float, dict[str, object] | None]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host(HostName("node1"), "http://node1:1", shows_after=self.shows_after)

    def held(self, group: str, at: float) -> dict[str, object] | None:
        return next((held for when, held in reversed(self.changes.get(group, [])) if when <= at), None)

    @property
    def groups(self) -> set[str]:
        return {group for group in self.changes if self.held(group, self.now) is not None}

    def exchange(self, call: Call) -> Reply | NoReply:
        self.asked.append(call.method)
        self.now += self.takes
        answer = next(self.odd.get(call.method, repeat(None)), None)
        if answer is not None and not isinstance(answer, tuple):
            return answer
        done = self._done(call)
        return answer[0] if answer else done

    def _done(self, call: Call) -> Reply:
        if call.method == "GET":
            held = self.held(call.path.split("/")[3], self.now - self.lag)
            return Reply(404) if held is None else Reply(200, json.dumps(held).encode())
        given = json.loads(call.body or b"")
        group = given["groupId"]
        there = self.held(group, self.now) is not None
        if call.method == "POST":
            if not there:
                kept = {"groupId": group} if self.drops else given
                kept |= {} if group in self.changes else dict.fromkeys(self.adds, "blue")
                self.changes.setdefault(group, []).append((self.now, kept))
            return Reply(400 if there else 201)
        if there:
            self.changes[group].append((self.now, None))
        return Reply(200 if there else 404)


def ruled(monkeypatch: pytest.MonkeyPatch, node: Node) -> Clock:
    """Have all that is asked ask this node; return the clock of what probes it."""
    clock = Clock(node)
    monkeypatch.setattr(scratch, "time", clock)
    monkeypatch.setattr(contract, "time", clock)
    monkeypatch.setattr(hosts, "time", Clock(node))
    monkeypatch.setattr(random, "random", lambda: 0.0)
    monkeypatch.setattr("lockstep.producer.looks.exchange", node.exchange)
    return clock
