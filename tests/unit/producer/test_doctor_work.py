"""What doctor asks of the record and of workers, and for how long it looks for a sweep."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest

from lockstep.producer.doctor import Finding, Level, facts
from lockstep.producer.doctor.checks import WorkFacts
from lockstep.worker.celery import ABOUT
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.answer import LookAnswer, Reply, classify_look
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Decision, GroupId, HostName, RolloutState, Stage, Status
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import HERE, OPERATION

EVERY = 4.0


class Seen:
    """A record in which a sweep is seen after so many looks, and a clock that a look and a wait move."""

    def __init__(self, swept_after: int, lease: int | None = None, ahead: int | None = None) -> None:
        self.now, self.looks, self.swept_after, self.lease = 100.0, 0, swept_after, lease
        self.lengths = {"operations": [100, 130], "rollback": [7, 5]}
        waves = RolloutState(1, 2, Stage.BAKING, None, None, None)
        baking = replace(OPERATION, rollout=waves)
        working = replace(OPERATION, rollout=replace(waves, stage=Stage.WORKING))
        undone = replace(baking, decision=Decision.ROLL_BACK)
        held = replace(OPERATION, rollout=replace(waves, stage=Stage.WAITING))
        self.unended: list[Status] = [OPERATION, baking, held, working, undone]
        self.link = SimpleNamespace(
            leased=self.leased,
            clocks=SimpleNamespace(ahead=lambda: ahead, all=lambda: {"a@x": 5}),
            unended=lambda: self.unended,
            unresolved=list,
            store=SimpleNamespace(
                queue_length=lambda queue: self.lengths[queue].pop(0),
                patrol_overdue=lambda: (3, 4000),
                failing=lambda: {"patrol": "no"},
            ),
        )

    def leased(self, name: str) -> int | None:
        if name == "sweep":
            return self.lease
        self.looks += 1
        return 1 if self.looks > self.swept_after else None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def work(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> WorkFacts:
    monkeypatch.setattr(facts, "time", seen)
    monkeypatch.setattr(facts, "_workers", lambda _: ({"a@x": ["operations"]}, {"a@x": HERE}))
    settings = Settings(sweep_every=EVERY)
    return facts._work(cast(Link, seen.link), settings, lambda: 2)


def test_what_was_seen_of_work_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(swept_after=20, lease=1500, ahead=40)
    found = work(seen, monkeypatch)
    assert found.swept
    assert [seen.looks, seen.now] == pytest.approx([21, 102.0])
    assert found.lengths == {"operations": 130, "rollback": 5}
    assert found.growth == pytest.approx({"operations": 15.0, "rollback": -1.0})
    assert (found.leased, found.stuck, found.baking) == (1500, 2, 2)
    assert (found.patrol_overdue, found.patrol_lag, found.failing) == (3, 4000, {"patrol": "no"})
    assert found.clocks == {"this machine": 40, "a@x": 5}


def test_a_sweep_is_looked_for_during_three_periods_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "LOOK", 1.0)
    seen = Seen(swept_after=100)
    found = work(seen, monkeypatch)
    assert not found.swept
    assert (seen.looks, seen.now) == (13, 100 + 3 * EVERY)
    assert (found.leased, found.clocks) == (0, {"a@x": 5})


def test_workers_are_asked_for_answers_and_the_connection_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Mock()
    app.control.inspect.return_value.active_queues.return_value = None
    app.control.broadcast.return_value = None
    monkeypatch.setattr(facts, "make_app", lambda _: app)
    assert facts._workers(Settings()) == ({}, {})
    app.control.broadcast.assert_called_once_with(ABOUT, reply=True, timeout=facts.PING)
    app.close.assert_called_once_with()


@pytest.mark.parametrize(
    ("running", "told"),
    [
        (None, "LOCKSTEP_REDIS_URL set, all others by default"),
        ("redis://mine:1/0", "those of the stack that `make up` started here"),
        ("redis://other:1/0", "LOCKSTEP_REDIS_URL set, all others by default"),
    ],
)
def test_the_stack_that_runs_here_is_named_if_it_is_the_one_that_is_asked(
    running: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = None if running is None else SimpleNamespace(settings={"redis_url": running})
    monkeypatch.setattr(facts, "discover", lambda: stack)
    found = facts.examine(cast(Link, AWAY), Settings(redis_url="redis://mine:1/0"), Mock(), lambda: 0)
    first = next(found)
    assert (first.subject, first.text) == ("settings", told)


AWAY = SimpleNamespace(facts=Mock(side_effect=StoreUnavailable("it is away", "start it")))


def test_without_a_record_the_hosts_are_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Inventory([Host(HostName(f"node{number}"), f"http://node{number}:1") for number in (1, 2)])

    def look(host: Host, *_: object) -> tuple[LookAnswer, int]:
        return classify_look(GroupId("g"), Reply(404 if host.name == "node1" else 500)), 1

    monkeypatch.setattr(facts, "look_at_group", look)
    _, *found = facts.examine(cast(Link, AWAY), Settings(), lambda: hosts, lambda: 0)
    assert found == [
        Finding("redis", Level.FAILURE, "it is away", "start it"),
        Finding("host", Level.FAILURE, "node2: 500", found[1].remedy),
        Finding("host", Level.OK, "1 host answering"),
    ]
