"""lockstep hosts, pause and resume, on a real Redis and real hosts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from lockstep import ClusterClient, HostPaused
from lockstep.producer.operators.batch import apply, parse_wishes
from lockstep.worker.inventory import live
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import GroupId, Millis, OperationId, Presence
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Silences
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE3, Hand
from tests.contract.producer.nodes import ERROR, Node

Nodes = dict[str, Node]
SINCE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z0-9+-]+"
SEEN = Millis(1_800_000_000_000)


def drifted(hand: Hand, group: str) -> None:
    end = End(Presence.PRESENT, OperationId("one"), Millis(1), "print")
    hand.store.keep_drift(
        GroupId(group), {}, {NODE3: Drift(GroupId(group), NODE3, end, Presence.ABSENT, SEEN)}
    )


def test_every_host_is_shown_as_it_is(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    nodes["node2"].answers = [ERROR]
    drifted(hand, "team-a")
    drifted(hand, "team-b")
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")

    ran = lockstep("hosts")

    header, *rows = (re.split(r" {2,}", line) for line in ran.out.splitlines())
    assert (ran.code, ran.err) == (1, "")
    assert header == ["HOST", "ANSWERS", "LABELS", "DRIFT", "NOTE"]
    assert rows[0] == ["node1", "yes", "zone=us", "-", "-"]
    assert rows[1] == ["node2", "no", "zone=eu", "-", "500"]
    seen = local(Millis(1_800_000_000_000))
    assert rows[2][:4] == ["node3", "yes", "zone=eu", f"2 groups, seen {seen}"]
    assert re.fullmatch(f"paused by alice since {SINCE}: disk swap", rows[2][4])


def test_a_host_that_workers_spare_is_shown_as_such(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    silences = Silences(hand.redis, Keys(hand.settings.key_prefix))
    silences.spare(NODE3, 60_000, 10, "answer lost: read timeout")

    ran = lockstep("hosts", "--hosts", "node3")
    (found,) = json.loads(lockstep("hosts", "--hosts", "node3", "--json").out)["hosts"]

    assert re.search(
        r"  spared for (60|59|5\d) s: 10 looks in a row failed \(answer lost: read timeout\)$", ran.out
    )
    assert ran.code == 0, "it answers now"
    assert (found["spared"]["failures"], found["spared"]["why"]) == (10, "answer lost: read timeout")
    assert found["spared"]["since"] < found["spared"]["until"]


def test_hosts_as_json_and_a_selection_of_them(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    drifted(hand, "team-a")
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")

    ran = lockstep("hosts", "--where", "zone=eu", "--json")

    first, second = json.loads(ran.out)["hosts"]
    assert ran.code == 0
    assert first == {
        "host": "node2",
        "url": nodes["node2"].url,
        "labels": {"zone": "eu"},
        "answering": True,
        "said": "404",
        "paused": None,
        "spared": None,
        "drift": [],
    }
    assert {**second["paused"], "at": None} == {"by": "alice", "at": None, "why": "disk swap"}
    assert second["drift"] == [
        {
            "group": "team-a",
            "expected": "present",
            "found": "absent",
            "seen_at": "2027-01-15T08:00:00.000Z",
        }
    ]
    assert nodes["node1"].asked == []


@pytest.mark.parametrize(
    "command",
    [
        ("create", "team-a", "--no-wait"),
        ("delete", "team-a"),
        ("repair", "team-a", "--to", "present"),
        ("create", "team-a", "--preflight"),
    ],
)
def test_what_needs_a_paused_host_is_refused_with_the_reason(
    lockstep: Run, nodes: Nodes, hand: Hand, command: tuple[str, ...]
) -> None:
    paused = lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")
    assert paused.out == (
        "paused node3: new operations that need it are refused until `lockstep resume node3`\n"
    )
    kept = hand.content()

    ran = lockstep(*command)

    assert (ran.code, ran.out) == (8, "")
    assert re.fullmatch(
        rf'lockstep: error: host "node3" is paused by alice since {SINCE}: disk swap; nothing was written, '
        r"`lockstep resume node3` ends the pause; see docs/operations.md#a-host-that-needs-maintenance\n",
        ran.err,
    )
    assert hand.content() == kept
    assert nodes["node1"].asked == [], "a preflight does not ask for what is refused in any case"


def test_an_apply_names_it_group_by_group(lockstep: Run, nodes: Nodes) -> None:
    lockstep("pause", "node3", "--why", "disk swap")
    with ClusterClient() as cluster:
        (came,) = apply(cluster, "run", parse_wishes("team-a"), cluster.select())
    assert came.state is None
    assert came.reason is not None
    assert came.reason.startswith('host "node3" is paused by ')


def test_other_hosts_can_be_worked_on(lockstep: Run, nodes: Nodes) -> None:
    lockstep("pause", "node3", "--why", "disk swap")
    assert lockstep("create", "team-a", "--no-wait", "--except", "node3").code == 0


def test_a_plan_says_that_it_would_be_refused(lockstep: Run, nodes: Nodes) -> None:
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")

    ran = lockstep("plan", "create", "team-a")

    assert ran.code == 1
    assert re.search(
        rf"^node3  absent     -                paused by alice since {SINCE}: disk swap$",
        ran.out,
        re.MULTILINE,
    )
    assert ran.out.endswith(
        'would be refused, for node3 is paused: create group "team-a"; '
        "`lockstep resume node3` ends the pause\n"
    )
    document = json.loads(lockstep("plan", "create", "team-a", "--json").out)
    assert (document["paused"], document["would_succeed"]) == (["node3"], False)


def test_the_doctor_reminds_of_it(lockstep: Run, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.producer.doctor.facts.PING", 0.2)
    monkeypatch.setenv("LOCKSTEP_SWEEP_EVERY", "0.1")
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")
    found = json.loads(lockstep("doctor", "--json").out)["findings"]
    (reminder,) = (each for each in found if "paused" in each["text"])
    assert (reminder["subject"], reminder["level"]) == ("host", "warning")
    assert reminder["remedy"] == "lockstep resume node3"


def test_a_second_pause_leaves_the_first(lockstep: Run, nodes: Nodes) -> None:
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")
    second = lockstep("pause", "node3", "--why", "because", "--as", "bob")
    assert second.code == 0
    assert re.fullmatch(
        f"node3 is paused by alice since {SINCE}: disk swap; that stays as it is\n", second.out
    )
    third = json.loads(lockstep("pause", "node3", "--why", "because", "--json").out)
    assert third["already"]["by"] == "alice"


def test_resuming_lets_operations_begin(lockstep: Run, nodes: Nodes, hand: Hand) -> None:
    lockstep("pause", "node3", "--why", "disk swap", "--as", "alice")
    resumed = lockstep("resume", "node3")
    assert resumed.code == 0
    assert re.fullmatch(f"resumed node3: it was paused by alice since {SINCE}: disk swap\n", resumed.out)
    assert hand.keys() == []
    assert lockstep("resume", "node3").out == "node3 is not paused\n"
    assert lockstep("create", "team-a", "--no-wait").code == 0


def test_a_host_that_left_the_inventory_can_be_resumed(
    lockstep: Run, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockstep("pause", "node3", "--why", "disk swap")
    monkeypatch.delenv("LOCKSTEP_INVENTORY")
    monkeypatch.setenv("LOCKSTEP_HOSTS", "http://node1:1")
    assert json.loads(lockstep("resume", "node3", "--json").out)["ended"]["why"] == "disk swap"
    assert lockstep("resume", "node3").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("pause", "node9", "--why", "x"),
            'host "node9" is not in the inventory; known: node1, node2, node3',
        ),
        (("pause", "node3", "--why", " "), 'why " " is empty: give 1 to 200 characters'),
        (("pause", "node3", "--why", "a\nb"), 'why "a\\nb" is not printable: give one line of text'),
        (("pause", "node3"), "Missing option '--why'; see `lockstep pause --help`"),
        (("resume", "node9"), 'host "node9" is not in the inventory; known: node1, node2, node3'),
    ],
)
def test_bad_input_changes_nothing(
    lockstep: Run, nodes: Nodes, hand: Hand, arguments: tuple[str, ...], said: str
) -> None:
    ran = lockstep(*arguments)
    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {said}\n")
    assert hand.keys() == []


def test_a_pause_from_python_refuses_operations_until_it_is_resumed(nodes: Nodes) -> None:
    with ClusterClient(created_by="alice") as cluster:
        assert cluster.pause("node3", "disk swap") is None
        (standing,) = cluster.hosts(["node3"])
        assert standing.pause is not None
        assert (standing.pause.by, standing.pause.why, standing.answering) == ("alice", "disk swap", True)
        with pytest.raises(HostPaused, match="disk swap"):
            cluster.create_group("team-a")
        assert cluster.resume("node3") == standing.pause
        assert cluster.create_group("team-a", ["node3"]).group == "team-a"


def test_a_client_that_lives_long_follows_the_inventory(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_EVERY", 0.0)
    path = tmp_path / "hosts.json"
    with ClusterClient() as cluster:
        assert cluster.select() == ("node1", "node2", "node3")
        replace(path, json.dumps(json.loads(path.read_text())[1:]))
        assert cluster.select() == ("node2", "node3")
        operation = cluster.create_group("team-a")
        assert [step.host for step in operation.steps()] == ["node2", "node3"]
        replace(path, "[")
        assert cluster.select() == ("node2", "node3")


def replace(path: Path, text: str) -> None:
    """Put a file that was written a while ago in the place of the inventory."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.utime(fresh, (1.0, 1.0))
    fresh.replace(path)
