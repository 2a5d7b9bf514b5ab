"""What operators do: choose hosts by label, find what is stuck, abandon a host, cancel without waiting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lockstep import AbandonRefused, ClusterClient, InvalidInput, RecordGone
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.record.keys import Keys
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand

INVENTORY = """hosts:
- {name: node1, url: "http://node1:1", labels: {zone: eu, role: db}}
- {name: node2, url: "http://node2:1", labels: {zone: eu, role: web}}
- {name: node3, url: "http://node3:1", labels: {zone: us, role: web}}
"""


@pytest.fixture
def labelled(environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(INVENTORY, "utf-8")
    monkeypatch.delenv("LOCKSTEP_HOSTS")
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(path))


@pytest.fixture
def stalled(operation: Operation, hand: Hand) -> Operation:
    hand.apply(operation, NODE3)
    hand.lose(operation, NODE2)
    hand.roll_back(operation)
    hand.stall(operation, NODE3)
    return operation


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        (["--where", "zone=eu"], ["node1", "node2"]),
        (["--where", "zone=eu", "--where", "role!=db"], ["node2"]),
        (["--except", "node1, node3"], ["node2"]),
        (["--hosts", "node1,node3", "--where", "role=web"], ["node3"]),
    ],
)
def test_hosts_are_chosen_by_label(lockstep: Run, options: list[str], hosts: list[str]) -> None:
    ran = lockstep("create", "team-a", "--no-wait", "--json", *options)
    assert ran.code == 0
    assert [each["host"] for each in json.loads(ran.out)["hosts"]] == hosts


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "zone=asia"], "no host meets zone=asia"),
        (["--where", "zon!=eu"], 'no host has the label "zon"'),
        (["--except", " "], "--except is empty"),
    ],
)
def test_a_selection_that_can_only_be_a_mistake(
    lockstep: Run, hand: Hand, options: list[str], said: str
) -> None:
    ran = lockstep("create", "team-a", *options)
    assert ran.code == 2
    assert said in ran.err
    assert hand.keys() == []


@pytest.mark.usefixtures("labelled")
def test_a_selection_is_what_hosts_takes() -> None:
    with ClusterClient() as cluster:
        operation = cluster.create_group("team-a", cluster.select(where=["zone=eu"], except_=["node1"]))
        assert [step.host for step in operation.steps()] == [NODE2]


def test_a_list_of_nothing_stuck_says_so(lockstep: Run, operation: Operation) -> None:
    ran = lockstep("list", "--stuck")
    assert (ran.code, ran.out) == (0, "no operation needs you\n")


@pytest.mark.parametrize("work", ["sweep", "patrol"])
def test_work_that_fails_is_found_where_nothing_is_stuck(lockstep: Run, hand: Hand, work: str) -> None:
    hand.store.note_failed(work, why := "[Errno 24] Too many open files")
    ran = lockstep("list", "--stuck")
    assert (ran.code, ran.out) == (1, "no operation needs you\n")
    assert ran.err == f"lockstep: the {work} runs and is not done: {why}; `lockstep doctor` tells more\n"


def test_what_is_stuck_is_named_with_what_to_type(lockstep: Run, stalled: Operation) -> None:
    ran = lockstep("list", "--stuck")
    first, *advice = ran.out.splitlines()
    assert ran.code == 1
    assert first == f"{stalled.id}  create team-a: node3 cannot be restored"
    assert advice[-1].startswith(f"  lockstep abandon {stalled.id} node3 --reason ")

    (document,) = json.loads(lockstep("list", "--stuck", "--json").out)["operations"]
    assert (document["id"], document["stuck"]["why"]) == (stalled.id, "node3 cannot be restored")


def test_an_operation_whose_record_is_gone_needs_a_person_until_a_later_one_ends(
    lockstep: Run, operation: Operation, hand: Hand, cluster: ClusterClient
) -> None:
    hand.redis.delete(*hand.keys())
    with pytest.raises(RecordGone):
        operation.status()
    hand.store.note_lost(OperationId("late"), GroupId("notice/a"))
    ran = lockstep("list", "--stuck")
    first, *advice, thing, _, _ = ran.out.splitlines()
    assert (ran.code, ran.err) == (1, "")
    why = "its record is gone: hosts may have been changed, and nothing carries it on"
    assert (first, thing) == (f"{operation.id}  create team-a: {why}", f"late  on notice/a: {why}")
    assert [line.partition("  #")[0] for line in advice] == [
        f"  lockstep drift {operation.id}",
        "  lockstep create team-a",
    ]
    ran = lockstep("list", "--stuck", "--json")
    document = json.loads(ran.out)
    assert (ran.code, document["operations"]) == (1, [])
    assert [(each["id"], each["action"], each["stuck"]["why"]) for each in document["gone"]] == [
        (operation.id, "create", why),
        ("late", None, why),
    ]

    hand.commit(cluster.create_group("team-a"))
    left = Keys(hand.settings.key_prefix).left(GroupId("notice/a"))
    hand.redis.hset(left, NODE1, f"digest next {hand.store.now()} fingerprint")
    assert lockstep("list", "--stuck").code == 0


def test_abandoning_ends_the_operation_and_records_who_and_why(lockstep: Run, stalled: Operation) -> None:
    ran = lockstep("abandon", stalled.id, "node3", "--reason", "scrapped", "--as", "bob")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f'abandoned node3 in operation {stalled.id}: create "team-a"')
    step = next(each for each in stalled.steps() if each.host == NODE3)
    assert (stalled.status().state, step.undo, step.reason) == ("abandoned", "abandoned", "bob: scrapped")
    assert lockstep("list", "--stuck").code == 0


def test_a_host_is_abandoned_wherever_it_is_waited_for(lockstep: Run, stalled: Operation) -> None:
    with ClusterClient() as cluster:
        undecided = cluster.create_group("team-b")
    ran = lockstep("abandon", "node3", "--reason", "scrapped", "--as", "bob")

    assert (ran.code, ran.err) == (0, "")
    assert [line.split(";")[0] for line in ran.out.splitlines()] == [
        f'abandoned node3 in operation {stalled.id}: create "team-a"'
    ]
    assert (stalled.status().state, undecided.status().state) == ("abandoned", "applying")

    again = lockstep("abandon", "node3", "--reason", "scrapped")
    assert again.code == 8
    assert 'host "node3" cannot be abandoned: no decided operation has anything left' in again.err


def test_abandoning_without_a_reason_is_bad_usage(lockstep: Run, stalled: Operation) -> None:
    assert lockstep("abandon", stalled.id, "node3").code == 2
    assert lockstep("abandon", stalled.id, "node3", "--reason", " ").code == 2
    assert lockstep("abandon", "node3", "--reason", " ").code == 2
    assert lockstep("abandon", stalled.id, "node3", "node2", "--reason", "scrapped").code == 2
    assert stalled.status().state == "rolling_back"


@pytest.mark.parametrize(
    ("host", "code", "said"),
    [
        ("node1", 8, "nothing is left to restore or to settle there"),
        ("node9", 2, 'host "node9" is no part of operation'),
    ],
)
def test_abandoning_what_is_not_pending_is_refused(
    lockstep: Run, stalled: Operation, host: str, code: int, said: str
) -> None:
    ran = lockstep("abandon", stalled.id, host, "--reason", "scrapped")
    assert ran.code == code
    assert said in ran.err


def test_abandoning_before_the_decision_is_refused(operation: Operation) -> None:
    with pytest.raises(AbandonRefused, match="not decided yet"):
        operation.abandon("node1", "scrapped")


def test_abandoning_in_an_unknown_operation(lockstep: Run) -> None:
    assert "is unknown" in lockstep("abandon", "nope", "node1", "--reason", "scrapped").err


def test_abandoning_needs_one_printable_line(stalled: Operation) -> None:
    with pytest.raises(InvalidInput, match="is not printable"):
        stalled.abandon("node3", "two\nlines")


def test_a_cancel_has_the_rollback_begun_at_once(operation: Operation, hand: Hand) -> None:
    hand.apply(operation, NODE1)
    queue = f"{hand.settings.key_prefix}celery:rollback"
    assert hand.redis.llen(queue) == 0

    operation.cancel()

    (message,) = hand.redis.lrange(queue, 0, -1)
    headers = json.loads(message)["headers"]
    assert (headers["task"], headers["root_id"]) == ("lockstep.rollback_create", operation.id)
    operation.cancel()
    assert hand.redis.llen(queue) == 1, "it is published once"
