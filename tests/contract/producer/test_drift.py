"""lockstep drift and repair: hosts are compared with what the last ended operations left there."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep import Action, ClusterClient, RecordGone
from lockstep.producer.client.operation import Operation
from lockstep.producer.operators import drift
from lockstep.producer.operators.hosts import look_at_group
from lockstep.worker.operation.answer import LookAnswer
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Decision, GroupId, OperationId
from lockstep.worker.settings import Settings
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand
from tests.contract.producer.nodes import ERROR, GONE, HERE, Node
from tests.waits import eventually

Nodes = dict[str, Node]
SOON = 10.0


def test_where_no_group_is_known_nothing_was_compared(lockstep: Run) -> None:
    ran = lockstep("drift")
    assert (ran.code, ran.out) == (0, "no group is known here: nothing was compared\n")


def test_no_drift_is_told_in_one_line(lockstep: Run, created: Operation) -> None:
    ran = lockstep("drift")
    assert ran.code == 0
    assert ran.out == "no drift in 1 group: all is as the last operations left it\n"


def test_a_host_that_no_operation_covered_is_named_and_the_reader_sent_to_sync(
    lockstep: Run, created: Operation
) -> None:
    ran = lockstep("drift")
    assert ran.err == (
        "node3 was never covered by an operation on team-a: `lockstep sync node3` brings it up to date\n"
    )
    asked = json.loads(lockstep("drift", "--json").out)
    assert asked["uncovered"] == [{"group": "team-a", "host": "node3"}]


def test_a_group_that_is_nowhere_is_no_new_hosts_business(
    lockstep: Run, nodes: Nodes, created: Operation, cluster: ClusterClient, hand: Hand
) -> None:
    deleted = cluster.delete_group("team-a", ["node1", "node2"])
    for host in (NODE1, NODE2):
        hand.apply(deleted, host)
        nodes[host].answers = [GONE]
    hand.decide(deleted, Decision.COMMIT)
    ran = lockstep("drift")
    assert (ran.code, ran.err) == (0, "")


def test_where_a_host_was_abandoned_and_hosts_differ_no_drift_is_not_said(
    lockstep: Run, nodes: Nodes, cluster: ClusterClient, hand: Hand
) -> None:
    operation = cluster.create_group("team-a")
    for host in (NODE1, NODE3):
        hand.apply(operation, host)
    hand.roll_back(operation)
    hand.restore(operation, NODE1)
    hand.store.abandon(operation.id, NODE3, "scrapped")
    nodes[NODE1].answers, nodes[NODE2].answers, nodes[NODE3].answers = [GONE], [GONE], [HERE]
    ran = lockstep("drift", "team-a")
    assert (ran.code, ran.out.split()[:3]) == (1, ["GROUP", "HOST", "IS"])


@pytest.mark.parametrize("text", ["tema-a", "group/tema-a"])
def test_a_name_that_is_neither_recorded_nor_on_a_host_may_be_misspelt(
    lockstep: Run, nodes: Nodes, text: str
) -> None:
    for node in nodes.values():
        node.answers = [GONE]
    ran = lockstep("drift", text)
    assert ran.code == 4
    assert ran.err == (
        "tema-a: no operation on it is recorded; absent on node1, node2, node3\n"
        "tema-a: may be misspelt, or be the id of an operation whose record is gone; "
        f"see {RecordGone.page}\n"
    )


def test_the_group_of_an_operation_whose_record_is_gone_is_not_misspelt(
    lockstep: Run, nodes: Nodes, hand: Hand
) -> None:
    for node in nodes.values():
        node.answers = [GONE]
    hand.store.note_lost(OperationId("lost"), GroupId("team-a"))
    ran = lockstep("drift", "lost")
    assert ran.code == 0, "the hosts do not differ from one another"
    assert ran.err.splitlines() == [
        "lost is an operation on team-a",
        "team-a: no operation on it is recorded; absent on node1, node2, node3",
    ]


def test_a_host_that_differs_is_named_with_the_operation(
    lockstep: Run, nodes: Nodes, created: Operation
) -> None:
    nodes["node2"].answers = [GONE]
    ran = lockstep("drift", "team-a")
    assert ran.code == 1
    assert f"team-a  node2  present    absent  {created.id}" in ran.out
    assert "repair" in ran.out

    asked = json.loads(lockstep("drift", "--json").out)
    assert asked["drift"] == [
        {
            "group": "team-a",
            "host": "node2",
            "expected": "present",
            "found": "absent",
            "operation": created.id,
        }
    ]


def test_a_host_without_an_answer_is_no_drift_but_is_named(
    lockstep: Run, nodes: Nodes, created: Operation
) -> None:
    nodes["node1"].answers = [ERROR]
    ran = lockstep("drift")
    assert ran.code == 4, "not 0, which says that all are as they were left"
    assert ran.out.startswith("no drift in 1 group, on the hosts that answered: ")
    assert "team-a: no usable answer from node1" in ran.err

    nodes["node2"].answers = [ERROR]
    ran = lockstep("drift", "team-a")
    assert (ran.code, ran.out) == (4, "nothing could be compared\n")

    nodes["node2"].answers = [GONE]
    assert lockstep("drift").code == 1, "what differs counts for more than what is not known"


def test_a_group_at_work_is_left_out(
    lockstep: Run, nodes: Nodes, created: Operation, cluster: ClusterClient
) -> None:
    nodes["node2"].answers = [GONE]
    running = cluster.delete_group("team-a")
    ran = lockstep("drift")
    assert (ran.code, ran.out) == (4, "nothing could be compared\n")
    assert f"operation {running.id} is at work" in ran.err
    assert nodes["node2"].asked == []


def test_the_canary_of_an_operation_that_is_held_is_compared_with_what_it_asks(
    lockstep: Run, nodes: Nodes, cluster: ClusterClient, hand: Hand
) -> None:
    running = cluster.create_group("team-a", waves="1,100%", hold=True)
    assert lockstep("drift", "team-a").code == 4
    hand.apply(running, NODE1)
    nodes["node1"].answers = [HERE]
    ran = lockstep("drift", "team-a")
    assert (ran.code, ran.out) == (0, "no drift in 1 group: all is as the last operations left it\n")
    only = "only hosts that it is through with are compared until it has ended"
    assert ran.err == f"team-a: operation {running.id} is at work; {only}\n"
    nodes["node1"].answers = [GONE]
    ran = lockstep("drift", "team-a")
    assert ran.code == 1
    assert f"team-a  node1  present    absent  {running.id}" in ran.out
    assert f"`lockstep cancel {running.id}` brings its hosts back" in ran.out
    assert "repair" not in ran.out
    assert nodes["node2"].asked == []
    nodes["node1"].answers = [ERROR]
    assert lockstep("drift", "team-a").code == 4


def test_no_host_of_an_operation_that_is_cancelled_meanwhile_is_told_as_drift(
    nodes: Nodes, cluster: ClusterClient, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = cluster.create_group("team-a", waves="1,100%", hold=True)
    hand.apply(running, NODE1)
    nodes["node1"].answers = [GONE]

    def cancelled(host: Host, group: GroupId, settings: Settings) -> tuple[LookAnswer, int]:
        running.cancel("enough")
        return look_at_group(host, group, settings)

    monkeypatch.setattr(drift, "look_at_group", cancelled)
    (found,) = cluster.drift(["team-a"])
    assert (found.owner, found.drifts, found.compared) == (running.id, (), 0)


@pytest.mark.parametrize(("presence", "action"), [("present", Action.CREATE), ("absent", Action.DELETE)])
def test_a_repair_is_an_ordinary_operation(
    lockstep: Run,
    cluster: ClusterClient,
    hand: Hand,
    threads: ThreadPoolExecutor,
    presence: str,
    action: Action,
) -> None:
    ran = threads.submit(lockstep, "repair", "team-a", "--to", presence)
    eventually(cluster.operations, "the repair is recorded")
    (operation,) = cluster.operations()
    assert operation.action is action
    hand.commit(cluster.operation(operation.id))
    assert ran.result().code == 0


def test_hosts_are_asked_beside_each_other(lockstep: Run, nodes: Nodes, created: Operation) -> None:
    together = threading.Barrier(2)
    for name in ("node1", "node2"):
        nodes[name].before = lambda: together.wait(SOON)
    assert lockstep("drift").out.startswith("no drift")


@pytest.mark.parametrize("silent", [False, True])
def test_a_host_without_an_answer_is_asked_once_for_all_groups(
    lockstep: Run,
    nodes: Nodes,
    created: Operation,
    cluster: ClusterClient,
    hand: Hand,
    monkeypatch: pytest.MonkeyPatch,
    silent: bool,
) -> None:
    over = threading.Event()
    if silent:
        for name, seconds in {"READ_TIMEOUT": "3", "CALL_TIMEOUT": "4"}.items():
            monkeypatch.setenv(f"LOCKSTEP_{name}", seconds)
        nodes["node1"].before = lambda: over.wait(SOON)
    for number in range(20):
        operation = cluster.create_group(f"more-{number}", ["node1", "node2"])
        hand.commit(operation)
    nodes["node1"].answers = [ERROR]
    nodes["node2"].answers = [GONE]
    nodes["node1"].asked.clear()
    ran = lockstep("drift", "--json")
    over.set()
    assert len(set(nodes["node1"].asked)) == 1
    assert len(nodes["node1"].asked) == 1 or not silent
    assert {row["host"] for row in json.loads(ran.out)["drift"]} == {"node2"}
    assert len(json.loads(ran.out)["drift"]) == 21
    assert "more-0, more-1, more-10, more-11, more-12 and 16 more: no usable answer from node1" in ran.err


def test_what_a_host_shows_in_the_middle_of_an_operation_is_no_drift(
    lockstep: Run,
    nodes: Nodes,
    created: Operation,
    cluster: ClusterClient,
    hand: Hand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An operation comes and goes while node2 is asked; asked again, all is as that one left it."""
    nodes["node1"].answers = nodes["node2"].answers = [GONE]

    def slow(host: Host, group: GroupId, settings: Settings) -> tuple[LookAnswer, int]:
        answer = look_at_group(host, group, settings)
        if host.name == NODE2 and len(cluster.operations()) == 1:
            delete = cluster.delete_group("team-a", ["node1", "node2"])
            for name in (NODE1, NODE2):
                hand.apply(delete, name)
            hand.decide(delete, Decision.COMMIT)
        return answer

    monkeypatch.setattr(drift, "look_at_group", slow)
    ran = lockstep("drift")
    assert (ran.code, ran.err) == (0, "")
    assert nodes["node2"].asked.count("/v1/group/team-a/") == 2


def test_a_group_that_never_rests_is_named(
    lockstep: Run,
    nodes: Nodes,
    created: Operation,
    cluster: ClusterClient,
    hand: Hand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def slow(host: Host, group: GroupId, settings: Settings) -> tuple[LookAnswer, int]:
        if host.name == NODE2:
            hand.commit(cluster.create_group("team-a", ["node2"]))
        return look_at_group(host, group, settings)

    monkeypatch.setattr(drift, "look_at_group", slow)
    nodes["node2"].answers = [GONE]
    ran = lockstep("drift")
    assert (ran.code, ran.out) == (4, "nothing could be compared\n")
    assert "team-a: operations ended while it was compared; ask again" in ran.err


def test_what_the_record_says_of_hosts_cannot_move_the_cursor(
    lockstep: Run, created: Operation, hand: Hand
) -> None:
    ends = f"{hand.settings.key_prefix}ends:team-a"
    hand.redis.hset(ends, "\x1b[2Jnode9", "present mine 1 0123456789ab")
    ran = lockstep("drift", "team-a", "--debug")
    assert "not in the inventory, or with another URL: \\x1b[2Jnode9" in ran.err
    assert "\x1b" not in ran.out + ran.err
