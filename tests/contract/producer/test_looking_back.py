"""show, history and report on a real record."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from lockstep import ClusterClient, load_settings
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Outcome
from lockstep.worker.operation.story import Proof, Story
from lockstep.worker.record.link import Link
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand
from tests.waits import PATIENCE, eventually


@pytest.fixture
def past(cluster: ClusterClient, hand: Hand) -> Operation:
    operation = cluster.create_group("team-a", operation_id="mine")
    hand.apply(operation, NODE1)
    hand.already(operation, NODE2)
    hand.lose(operation, NODE3)
    hand.roll_back(operation)
    hand.restore(operation, NODE1)
    return operation


def test_show_tells_every_attempt(lockstep: Run, past: Operation) -> None:
    ran = lockstep("show", "mine")

    assert ran.code == 0
    text = re.sub(r" {2,}", "  ", re.sub(r"\b\d+(\.\d+)? m?s\b", "T", ran.out))
    assert text.split("\n\n")[2] == (
        "AFTER  HOST  WHAT  SAID  RESULT  TOOK\n"
        "T  -  accepted  by alice@desk  -  -\n"
        "T  node1  POST  201  applied  T\n"
        "T  -  decided  roll back: node3: connection refused  -  -\n"
        "T  node1  DELETE to undo  200  applied  T\n"
        "T  -  ended  rolled_back  -  -\n"
    )


def test_show_tells_what_happened_to_each_host_as_status_does(lockstep: Run, past: Operation) -> None:
    told = [line for line in lockstep("status", "mine").out.splitlines() if line.startswith("node")]
    assert "changed by its write before the decision, undone" in told[0]
    assert "not changed: it was present before" in told[1]
    assert told == [line for line in lockstep("show", "mine").out.splitlines() if line in told]


def test_a_host_that_was_changed_after_the_decision_and_undone_is_told_so_in_every_view(
    lockstep: Run, cluster: ClusterClient, hand: Hand, tmp_path: Path
) -> None:
    operation = cluster.create_group("team-a", operation_id="mine")
    late = hand.begin(operation, NODE1)
    hand.already(operation, NODE2)
    hand.lose(operation, NODE3)
    hand.roll_back(operation)
    decided_at = operation.status().decided_at or 0
    eventually(lambda: hand.store.now() > decided_at, "the host answers after the decision")
    hand.store.finish(operation.id, NODE1, late, Effect.APPLIED, "201")
    hand.restore(operation, NODE1)

    told = "changed by its write after the decision, undone: DELETE answered 200"
    file = tmp_path / "report.html"
    assert lockstep("report", "mine", "--html", str(file)).code == 0
    views = [lockstep(command, "mine").out for command in ("status", "show", "watch")]
    assert [view.count(told) for view in [*views, file.read_text("utf-8")]] == [1, 1, 1, 1]
    for command in ("status", "show", "watch"):
        host = json.loads(lockstep(command, "mine", "--json").out)["hosts"][0]
        assert (host["host"], host["story"], host["outcome"]) == (NODE1, told, None)
        assert (host["changed"], host["changed_by"]) == (True, late)
        assert (host["changed_after_decision"], host["undone_by"]) == (True, "answer")
    story = operation.wait_end(timeout=PATIENCE).hosts[0].story
    assert story == Story(True, late, True, Proof.ANSWER, told)


def test_show_says_which_workers_have_which_inventory(lockstep: Run, past: Operation) -> None:
    with closing(Link(load_settings())) as link:
        link.clocks.tell("operations@a", lambda: ("3f2a91c04b11", 4, 5.0, "it is no UTF-8 text"))
    (line,) = (each for each in lockstep("show", "mine").out.splitlines() if each.startswith("inventories"))
    assert re.fullmatch(
        r"inventories  [0-9a-f]{12}, 3 hosts: here; 3f2a91c04b11, 4 hosts: operations@a \(read [56] s ago\)",
        line,
    )
    (held,) = json.loads(lockstep("show", "mine", "--json").out)["inventories"]
    assert (held.pop("worker"), bool(held.pop("read_at"))) == ("operations@a", True)
    assert held == {"digest": "3f2a91c04b11", "hosts": 4, "fault": "it is no UTF-8 text"}


def test_show_names_a_step_that_raised(lockstep: Run, cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a")
    why = "the step failed with UnicodeDecodeError: see the worker's log"
    hand.lose(operation, NODE1, why, Outcome.UNKNOWN)
    said = lockstep("show", operation.id)
    (line,) = (line for line in said.out.splitlines() if line.startswith("node1 "))
    assert why in line
    host = json.loads(lockstep("show", operation.id, "--json").out)["hosts"][0]
    assert (host["outcome"], host["reason"]) == ("unknown", why)


def test_show_in_json_has_the_timeline_and_the_hosts(lockstep: Run, past: Operation) -> None:
    document = json.loads(lockstep("show", "mine", "--json").out)
    accepted, post, decided, delete, ended = document["timeline"]
    assert [each["what"] for each in (accepted, decided, ended)] == ["accepted", "decided", "ended"]
    assert (post["host"], post["undo"], post["said"], post["known_as"]) == ("node1", False, "201", "applied")
    assert (delete["what"], delete["undo"]) == ("DELETE", True)
    assert post["known_at"] >= post["at"] >= accepted["at"]
    assert len(document["hosts"]) == 3


def test_history_is_filtered_by_everything_that_is_given(
    lockstep: Run, cluster: ClusterClient, past: Operation
) -> None:
    lockstep("delete", "team-b", "--no-wait", "--as", "carol", "--id", "hers")

    def found(*options: str) -> list[str]:
        ran = lockstep("history", "--json", *options)
        assert ran.code == 0
        return [each["id"] for each in json.loads(ran.out)["operations"]]

    assert found() == ["hers", "mine"]
    assert found("--limit", "1") == ["hers"]
    assert found("--group", "team-a") == ["mine"]
    assert found("--by", "car*") == ["hers"]
    assert found("--action", "create") == ["mine"]
    assert found("--state", "rolled_back", "--state", "committed") == ["mine"]
    assert found("--since", "1h") == ["hers", "mine"]
    assert found("--until", "1h") == []


def test_history_is_a_table_for_people(lockstep: Run, past: Operation) -> None:
    assert lockstep("history").out.splitlines()[1].split()[:4] == ["mine", "create", "team-a", "rolled_back"]
    assert lockstep("history", "--group", "x").out == "no operation matches\n"


@pytest.mark.parametrize("options", [["--since", "soon"], ["--state", "lost"], ["--limit", "0"]])
def test_history_refuses_what_it_does_not_know(lockstep: Run, options: list[str]) -> None:
    assert lockstep("history", *options).code == 2


def test_report_writes_one_page(lockstep: Run, past: Operation, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    ran = lockstep("report", "mine", "--html", str(file))
    assert (ran.code, ran.out) == (0, f"wrote {file}\n")
    text = file.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count('class="bar') == 2


def test_a_report_that_cannot_be_written(lockstep: Run, past: Operation, tmp_path: Path) -> None:
    ran = lockstep("report", "mine", "--html", str(tmp_path))
    assert ran.code == 2
    assert "cannot be written: Is a directory" in ran.err


@pytest.mark.parametrize("command", [["show"], ["report", "--html", "x"]])
def test_an_unknown_operation_is_refused(lockstep: Run, command: list[str]) -> None:
    ran = lockstep(*command, "nope")
    assert ran.code == 2
    assert 'operation id "nope" is unknown' in ran.err
