"""How often a command asks one host, and what it says of hosts that give no usable answer or are paused."""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace
from typing import cast

import pytest

from lockstep.producer.operators import hosts
from lockstep.producer.operators.hosts import as_they_come, ask, host_statuses, preflight, presence
from lockstep.worker.hosts.client import Call
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Content, Flaw, Shown, Sight
from lockstep.worker.operation.errors import HostPaused, HostUnavailable, NotReady
from lockstep.worker.operation.host import Host, Pause
from lockstep.worker.operation.model import GroupId, HostName, Millis, Presence
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import LEAST, kind_of, thing

GROUP = GroupId("team-a")
HOSTS = [Host(HostName(f"node{number}"), f"http://node{number}:1") for number in (1, 2, 3)]
SETTINGS = Settings(call_timeout=12, read_timeout=5, backoff_base=1, backoff_cap=8)


class Clock:
    """Time that passes while a host is asked, and between."""

    def __init__(self, each: float) -> None:
        self.now, self.each = 100.0, each
        self.asked: list[str] = []
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def exchange(self, call: Call) -> Reply:
        self.asked.append(call.url)
        assert len(self.asked) < 20
        self.now += self.each
        return Reply(500 if "node3" not in call.url else 404)


def clock(monkeypatch: pytest.MonkeyPatch, each: float = 0.0) -> Clock:
    made = Clock(each)
    monkeypatch.setattr(hosts, "time", made)
    monkeypatch.setattr(random, "random", lambda: 0.5)
    monkeypatch.setattr("lockstep.producer.looks.exchange", made.exchange)
    return made


@pytest.mark.parametrize(
    ("each", "pauses", "told"),
    [
        (0.0, [0.5, 1.0, 2.0, 4.0], "5 times"),
        (3.0, [0.5, 1.0], "3 times"),
        (5.5, [0.5], "2 times"),
        (5.75, [], "once"),  # 12 s would be over at the very end of a second one
        (10.0, [], "once"),
    ],
)
def test_a_host_is_asked_while_one_more_look_would_be_over_in_time(
    each: float, pauses: list[float], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = clock(monkeypatch, each)
    with pytest.raises(HostUnavailable, match=rf'host "node1" gave no usable answer \(500\), asked {told}: '):
        ask(HOSTS[0], GROUP, SETTINGS)
    assert made.pauses == pauses
    assert len(made.asked) == len(pauses) + 1


def test_a_preflight_names_all_hosts_that_give_no_usable_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch)
    with pytest.raises(NotReady, match=r"got no usable answer from node1 \(500\), node2 \(500\)$"):
        preflight(HOSTS, GROUP, SETTINGS, {})
    preflight(HOSTS[2:], GROUP, SETTINGS, {})


def test_a_preflight_names_the_first_host_that_is_paused_and_counts_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = clock(monkeypatch)
    pauses = {each.name: Pause(each.name, "ann", Millis(0), "disk swap") for each in HOSTS}
    for some, more in ((HOSTS, "; 2 more of its hosts are paused;"), (HOSTS[:1], ";")):
        with pytest.raises(HostPaused, match=rf'^host "node1" is paused by ann since .*: disk swap{more} n'):
            preflight(some, GROUP, SETTINGS, pauses)
    assert made.asked == []


def test_who_gives_no_time_waits_for_nothing_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = threading.Event(), threading.Event()
    waited: list[float | None] = []

    def work(number: int) -> None:
        if number:
            begun.set()
            over.wait()

    coming = as_they_come(work, range(2))
    assert next(coming) == (0, None)
    begun.wait()
    assert {each.daemon for each in threading.enumerate() if each.name == "lockstep"} == {True}
    monkeypatch.setattr(threading.Thread, "join", lambda _, timeout=None: waited.append(timeout))
    coming.close()
    monkeypatch.undo()
    over.set()
    assert set(waited) == {0.0}


@pytest.mark.parametrize(
    ("shown", "held", "looks"),
    [
        (Shown(Sight.ABSENT), Presence.ABSENT, 1),
        (Shown(Sight.CONTENT, content=Content()), Presence.PRESENT, 1),
        (Shown(Sight.OVERSIZED), Presence.PRESENT, 1),
        (Shown(Sight.BUSY), None, 5),
        (Shown(Sight.NOTHING, flaw=Flaw.SILENT), None, 5),
        (Shown(Sight.NOTHING, flaw=Flaw.MISCONFIGURED), None, 1),
    ],
)
def test_a_thing_is_looked_at_until_that_tells_something_or_never_will(
    shown: Shown, held: Presence | None, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch)
    monkeypatch.setattr(hosts, "reached", lambda *_: SimpleNamespace(look_at_thing=lambda *_: shown))
    kind = kind_of(LEAST)
    assert presence(HOSTS[0], (kind, thing(kind)), SETTINGS) == (held, shown.text, looks)


def test_of_every_host_it_is_told_whether_it_answers_and_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch)
    silence = object()
    link = SimpleNamespace(
        pauses=SimpleNamespace(all=dict),
        silences=SimpleNamespace(all=lambda: {HOSTS[0].name: (silence, 500)}),
        store=SimpleNamespace(drifts=list),
    )
    found = host_statuses(cast(Link, link), HOSTS, SETTINGS)
    assert [(each.answering, each.said, each.silence, each.spared_for) for each in found] == [
        (False, "500", silence, 500),
        (False, "500", None, 0),
        (True, "404", None, 0),
    ]
