"""lockstep doctor on a real Redis and real hosts, without workers."""

from __future__ import annotations

import json

import pytest

from lockstep import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.model import Decision
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand
from tests.contract.producer.nodes import ERROR, Node


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.producer.doctor.facts.PING", 0.2)
    monkeypatch.setenv("LOCKSTEP_SWEEP_EVERY", "0.1")


def test_what_is_wrong_is_found_with_its_remedy(lockstep: Run, nodes: dict[str, Node], hand: Hand) -> None:
    nodes["node2"].answers = [ERROR]

    ran = lockstep("doctor", "--json")

    document = json.loads(ran.out)
    found = [(each["subject"], each["level"]) for each in document["findings"]]
    assert (ran.code, document["healthy"]) == (1, False)
    assert found == [
        ("settings", "ok"),
        ("redis", "ok"),
        ("redis", "ok"),
        ("redis", "ok"),
        ("redis", "ok"),
        ("queue operations", "failure"),
        ("queue rollback", "failure"),
        ("beat", "failure"),
        ("operations", "ok"),
        ("patrol", "ok"),
        ("clock", "ok"),
        ("memory", "ok"),
        ("records", "ok"),
        ("host", "failure"),
        ("host", "ok"),
    ]
    assert all(bool(each["remedy"]) == (each["level"] != "ok") for each in document["findings"])
    kept = hand.content()
    assert not any("op:" in key for key in kept)


def test_a_sweep_is_seen(lockstep: Run, nodes: dict[str, Node], hand: Hand) -> None:
    hand.store.note_done("sweep", 60_000)
    assert "ok       beat               alive: a sweep runs every 0.1 s\n" in lockstep("doctor").out


def test_a_host_that_one_operation_covered_still_lacks_older_groups(
    lockstep: Run, nodes: dict[str, Node], created: Operation, cluster: ClusterClient, hand: Hand
) -> None:
    newer = cluster.create_group("team-b")
    for host in (NODE1, NODE2, NODE3):
        hand.apply(newer, host)
    hand.decide(newer, Decision.COMMIT)
    told = lockstep("doctor").out
    assert " node3: no operation on 1 of 2 groups covered it: it lacks what others hold\n" in told


def test_without_redis_the_hosts_are_looked_at_all_the_same(
    lockstep: Run, nodes: dict[str, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://127.0.0.1:1/0")
    ran = lockstep("doctor")
    settings, first, remedy, last = ran.out.splitlines()
    assert settings.startswith("ok       settings           LOCKSTEP_REDIS_URL, ")
    assert ran.code == 1
    assert first.startswith("failure  redis              Redis does not answer")
    assert remedy.strip().startswith("-> LOCKSTEP_REDIS_URL names the server")
    assert last == "ok       host               3 hosts answering"


def test_an_inventory_without_hosts_is_a_failure(lockstep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_HOSTS", "")
    ran = lockstep("doctor")
    assert ran.code == 1
    assert "failure  inventory          the inventory is empty" in ran.out


def test_settings_that_cannot_be_used_are_a_finding(lockstep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SETTLE_SECONDS", "5")
    ran = lockstep("doctor", "--json")
    document = json.loads(ran.out)
    assert (ran.code, ran.err, document["healthy"]) == (1, "", False)
    assert document["findings"] == [
        {
            "subject": "settings",
            "level": "failure",
            "text": "settings contradict each other: settle_seconds must be at least read_timeout",
            "remedy": "docs/settings.md has every setting and its limits",
        }
    ]
