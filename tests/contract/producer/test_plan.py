"""lockstep plan and --preflight: every host is asked, nothing is written."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lockstep import Action, ClusterClient, InvalidInput, NotReady
from lockstep.worker.operation.thing import MOST_KEPT
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand
from tests.contract.producer.nodes import ERROR, GONE, HERE, Node

Nodes = dict[str, Node]


def test_a_plan_shows_each_host_and_writes_nothing(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    nodes["node2"].answers = [ERROR, HERE]

    ran = lockstep("plan", "create", "team-a")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "HOST   HOLDS NOW  CALL             NOTE\n"
        "node1  absent     POST /v1/group/  -\n"
        "node2  present    -                as asked already\n"
        "node3  absent     POST /v1/group/  -\n"
        "\n"
        "the hosts differ now: node2 would be left alone, by a rollback too\n"
        'would create group "team-a" on 2 of 3 hosts\n'
    )
    assert hand.keys() == []
    assert nodes["node2"].asked == ["/v1/group/team-a/"] * 2


def test_a_plan_names_what_would_fail(lockstep: Run, nodes: Nodes) -> None:
    nodes["node3"].answers = [ERROR]

    ran = lockstep("plan", "delete", "team-a", "--where", "zone=eu")

    assert ran.code == 1
    assert "node3  -          -     no usable answer: 500" in ran.out
    assert ran.out.endswith('would fail on node3, and be rolled back: delete group "team-a" on 2 hosts\n')


def test_a_plan_with_nothing_to_do_says_so(lockstep: Run, nodes: Nodes) -> None:
    ran = lockstep("plan", "delete", "team-a")
    assert ran.code == 0
    assert ran.out.endswith('nothing to do to delete group "team-a": 3 hosts as asked already\n')


def test_a_body_too_large_to_restore_would_fail_a_delete_only(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_MAX_BODY_BYTES", "10")
    nodes["node1"].answers = [HERE]
    with ClusterClient() as cluster:
        (problem,) = cluster.plan(Action.DELETE, "team-a", ["node1"]).problems
        assert problem.problem == "too large to be restored, so it would not be deleted"
        assert cluster.plan("create", "team-a", ["node1"]).problems == ()


def test_a_group_has_no_content_to_set(nodes: Nodes) -> None:
    with ClusterClient() as cluster, pytest.raises(InvalidInput, match='"team-a" names no kind'):
        cluster.plan("set", "team-a")


def test_json_tells_who_holds_the_group(lockstep: Run, nodes: Nodes) -> None:
    nodes["node2"].answers = [ERROR]
    lockstep("create", "team-a", "--no-wait", "--id", "mine")

    ran = lockstep("plan", "create", "team-a", "--json")

    document = json.loads(ran.out)
    assert ran.code == 1
    assert document["hosts"][:2] == [
        {"host": "node1", "holds": "absent", "call": "POST /v1/group/", "problem": None},
        {"host": "node2", "holds": None, "call": None, "problem": "no usable answer: 500"},
    ]
    assert (document["would_succeed"], document["held_by"]) == (False, "mine")
    assert "operation mine holds the group" in lockstep("plan", "create", "team-a").out


def test_a_preflight_without_an_answer_refuses_before_anything_is_recorded(
    lockstep: Run, nodes: Nodes, hand: Hand
) -> None:
    nodes["node1"].answers = [ERROR]

    ran = lockstep("create", "team-a", "--preflight")

    assert (ran.code, ran.out) == (9, "")
    assert ran.err == (
        "lockstep: error: nothing was written, for the preflight got no usable answer from node1 (500)"
        "; see docs/operations.md#a-host-that-does-not-answer\n"
    )
    assert hand.keys() == []


def test_a_preflight_that_all_answer_lets_the_operation_begin(
    lockstep: Run, nodes: Nodes, hand: Hand
) -> None:
    nodes["node1"].answers = [HERE]
    ran = lockstep("create", "team-a", "--preflight", "--no-wait")
    assert ran.code == 0
    assert [each.asked for each in nodes.values()] == [["/v1/group/team-a/"]] * 3


def test_repeating_an_accepted_operation_needs_no_preflight(nodes: Nodes) -> None:
    with ClusterClient() as cluster:
        cluster.create_group("team-a", operation_id="mine", preflight=True)
        nodes["node1"].answers = [ERROR]
        assert cluster.create_group("team-a", operation_id="mine", preflight=True).existing
        with pytest.raises(NotReady, match="node1"):
            cluster.create_group("team-b", operation_id="other", preflight=True)


def test_the_preflight_asks_the_chosen_hosts_alone(lockstep: Run, nodes: Nodes) -> None:
    nodes["node1"].answers = [ERROR]
    ran = lockstep("delete", "team-a", "--preflight", "--no-wait", "--except", "node1")
    assert ran.code == 0
    assert nodes["node1"].asked == []
    assert nodes["node2"].answers == [GONE]


def test_a_preflight_asks_hosts_for_the_thing_itself(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    there = (200, json.dumps({"name": "team-a", "description": "", "tags": []}))
    for node in nodes.values():
        node.answers = [ERROR, there]  # the first look may fail, as for a group
    nodes["node1"].answers = [ERROR]
    ran = lockstep("set", "rabbitmq-vhost/team-a", "--preflight", "--no-wait")
    assert (ran.code, hand.keys()) == (9, [])
    assert "no usable answer from node1 (500" in ran.err
    nodes["node1"].answers = [there]
    assert lockstep("set", "rabbitmq-vhost/team-a", "--preflight", "--no-wait").code == 0
    assert {path for node in nodes.values() for path in node.asked} == {"/api/vhosts/team-a"}


def test_a_plan_shows_the_waves_before_anything_is_written(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    ran = lockstep("plan", "create", "team-a", "--waves", "1,100%", "--bake", "60s", "--hold")
    assert ran.code == 0
    assert [line.split()[-1] for line in ran.out.splitlines()[1:4]] == ["1", "2", "2"]
    assert "in 2 waves of 1, 2; baked for 60 s each, so 120 s at least" in ran.out
    assert "held after each wave but the last, until somebody promotes it" in ran.out
    document = json.loads(lockstep("plan", "create", "team-a", "--waves", "1", "--json").out)
    assert [host["wave"] for host in document["hosts"]] == [1, 2, 3]
    refused = lockstep("plan", "create", "team-a", "--waves", "0")
    assert (refused.code, hand.keys()) == (2, [])


def test_a_plan_says_that_a_canary_which_is_not_changed_proves_nothing(lockstep: Run, nodes: Nodes) -> None:
    nodes["node1"].answers = [HERE]
    ran = lockstep("plan", "create", "team-a", "--waves", "1,100%")
    assert ran.out.endswith("wave 1 changes nothing: it is not baked, and no proof for the others\n")


def test_a_plan_of_a_file_shows_the_waves_too(
    lockstep: Run, nodes: Nodes, hand: Hand, tmp_path: Path
) -> None:
    file = tmp_path / "groups"
    file.write_text("team-a\nteam-b\n")
    asked = ("apply", str(file), "--plan", "--waves", "1,100%", "--health", "/up")
    ran = lockstep(*asked)
    assert (ran.code, ran.err, hand.keys()) == (0, "", [])
    assert ran.out.splitlines()[:6] == [
        "create team-a",
        "  node1: POST /v1/group/ (wave 1)",
        "  node2, node3: POST /v1/group/ (wave 2)",
        '  would create group "team-a" on 3 of 3 hosts',
        "  in 2 waves of 1, 2",
        "  after each wave every host that was changed must answer 2xx at /up",
    ]
    assert "changes nothing" not in ran.out
    plans = json.loads(lockstep(*asked, "--json").out)["plans"]
    assert [[host["wave"] for host in each["hosts"]] for each in plans] == [[1, 2, 2]] * 2


def test_a_plan_of_a_thing_tells_what_stands_in_the_way(lockstep: Run, nodes: Nodes) -> None:
    for node in nodes.values():
        node.answers = [(200, json.dumps({"name": "team-a", "description": "", "tags": []}))]
    asked = ("plan", "set", "rabbitmq-vhost/team-a", "--set", "description=x")
    assert lockstep("set", *asked[2:], "--no-wait", "--id", "mine").code == 0
    ran = lockstep(*asked, "--waves", "1,100%", "--bake", "60s")
    assert ran.code == 0
    assert [line for line in ran.out.splitlines() if line.startswith("node")] == [
        "node1: update (wave 1)",
        "node2, node3: update (wave 2)",
    ]
    assert "operation mine holds it: this one would wait for it" in ran.out
    assert "in 2 waves of 1, 2; baked for 60 s each, so 120 s at least" in ran.out
    lockstep("pause", "node2", "--why", "disk swap")
    document = json.loads(lockstep(*asked, "--waves", "1", "--json").out)
    assert (document["would_succeed"], document["held_by"]) == (False, "mine")
    assert [host["wave"] for host in document["hosts"]] == [1, 2, 3]
    assert (document["hosts"][1]["call"], document["paused"]) == (None, ["node2"])
    assert "disk swap" in document["hosts"][1]["problem"]


def test_a_plan_refuses_what_a_step_would_refuse(lockstep: Run, nodes: Nodes) -> None:
    for node, described in zip(nodes.values(), ("", "x" * MOST_KEPT, "a"), strict=True):
        node.answers = [(200, json.dumps({"name": "team-a", "description": described, "tags": []}))]
    ran = lockstep("plan", "delete", "rabbitmq-vhost/team-a", "--json")
    assert (ran.code, [host["call"] for host in json.loads(ran.out)["hosts"]]) == (
        1,
        ["delete", None, "delete"],
    )
    assert f"what it holds is over {MOST_KEPT} bytes, and could not be restored" in ran.out


def test_a_file_for_apply_names_files_for_secrets(
    lockstep: Run, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in nodes.values():
        node.answers = [(200, json.dumps({"name": "alice", "tags": [], "password_hash": "aGFzaA=="}))]
    monkeypatch.setenv("LOCKSTEP_SEAL_KEY_FILE", str(tmp_path / "keys"))
    (tmp_path / "keys").write_text(base64.b64encode(b"1" * 32).decode())
    (tmp_path / "alice.txt").write_text("hush-hush\n")
    file = tmp_path / "wanted.yaml"
    file.write_text("present:\n- rabbitmq-user/alice: {password: {file: alice.txt}}\n")
    ran = lockstep("apply", str(file), "--plan")
    assert (ran.code, ran.err) == (0, ""), ran
    assert "~ password: (differs)" in ran.out
    assert "hush" not in ran.out
