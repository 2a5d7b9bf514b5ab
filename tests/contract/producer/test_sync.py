"""lockstep sync: a host is brought to what the last ended operations left on it, or on all others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep import Action, ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.model import Decision
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE2, NODE3, Hand
from tests.contract.producer.nodes import ERROR, GONE, Node
from tests.waits import eventually

Nodes = dict[str, Node]


def test_a_new_host_gets_what_all_others_have(
    lockstep: Run,
    created: Operation,
    cluster: ClusterClient,
    hand: Hand,
    threads: ThreadPoolExecutor,
) -> None:
    ran = threads.submit(lockstep, "sync", "node3", "--yes", "--as", "ada")
    eventually(lambda: len(cluster.operations()) == 2, "an operation for node3 is recorded")
    operation = cluster.operations()[0]
    assert (operation.action, operation.group, operation.hosts_total) == (Action.CREATE, "team-a", 1)
    assert operation.created_by == "ada"
    hand.apply(cluster.operation(operation.id), NODE3)
    hand.decide(cluster.operation(operation.id), Decision.COMMIT)
    said = ran.result()
    assert said.code == 0
    assert "team-a  absent     create  present by all other hosts" in said.out


def test_a_rebuilt_host_gets_what_its_own_last_operation_left(
    lockstep: Run, nodes: Nodes, created: Operation, hand: Hand
) -> None:
    nodes["node1"].answers = [GONE]
    before = hand.content()
    ran = lockstep("sync", "node1", "--dry-run")
    assert ran.code == 0
    assert f"team-a  absent     create  present by its own operation {created.id}" in ran.out
    assert hand.content() == before


def test_a_host_that_is_up_to_date_is_left_alone(lockstep: Run, created: Operation, hand: Hand) -> None:
    before = hand.content()
    ran = lockstep("sync", "node1")
    assert (ran.code, ran.out) == (0, "node1: as it should be in 1 of 1 group\n")
    assert hand.content() == before


def test_what_nobody_can_tell_is_named_and_left_alone(
    lockstep: Run, nodes: Nodes, created: Operation, cluster: ClusterClient, hand: Hand
) -> None:
    only = cluster.delete_group("team-a", ["node2"])
    hand.apply(only, NODE2)
    hand.decide(only, Decision.COMMIT)
    ran = lockstep("sync", "node3", "--yes")
    assert ran.code == 1
    assert "the other hosts differ: nobody can tell what it should hold" in ran.out
    assert len(cluster.operations()) == 2


def test_without_a_terminal_a_plan_is_not_carried_out(
    lockstep: Run, created: Operation, cluster: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    ran = lockstep("sync", "node3")
    assert ran.code == 2
    assert ran.err == (
        "lockstep: error: no terminal to ask on: give --yes to carry the plan out, or --dry-run to see it\n"
    )
    assert len(cluster.operations()) == 1


def test_a_silent_host_is_not_synchronised(lockstep: Run, nodes: Nodes, created: Operation) -> None:
    nodes["node3"].answers = [ERROR]
    ran = lockstep("sync", "node3", "--yes")
    assert ran.code == 4
    assert 'host "node3" gave no usable answer (500) on "team-a": nothing was changed' in ran.err
