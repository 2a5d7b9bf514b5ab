"""lockstep apply on a real record, with the work of workers done by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from producer import ClusterClient
from producer.many import operation_id, parse_wishes
from tests.integration.producer.conftest import Run
from tests.integration.producer.hand import Hand, eventually

WANTED = "present: [team-a, team-b]\nabsent: [team-c]\n"


def play(cluster: ClusterClient, hand: Hand, bad: str = "") -> Callable[[], None]:
    """Commit whatever is accepted, except for one group, which is rolled back."""

    def run() -> None:
        eventually(lambda: len(cluster.operations()) == 3, "all are accepted")
        for each in cluster.operations():
            operation = cluster.operation(each.id)
            (hand.roll_back if each.group == bad else hand.commit)(operation)

    return run


def wanted(tmp_path: Path) -> str:
    file = tmp_path / "wanted.yaml"
    file.write_text(WANTED, "utf-8")
    return str(file)


def test_all_as_asked(
    lockstep: Run, cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    playing = threads.submit(play(cluster, hand))
    ran = lockstep("apply", wanted(tmp_path), "--resume", "mine", "--as", "carol")
    playing.result()
    assert (ran.code, ran.out, ran.err) == (0, "run mine: 3 committed\n", "run mine: 3 groups\n")
    kept = {(each.group, each.action.value, each.created_by) for each in cluster.operations()}
    assert kept == {
        ("team-a", "create", "carol"), ("team-b", "create", "carol"), ("team-c", "delete", "carol"),
    }  # fmt: skip


def test_a_run_goes_on_where_it_was_cut_short_and_tells_what_failed(
    lockstep: Run, cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    first, *_ = parse_wishes(WANTED)
    begun = cluster.create_group("team-a", operation_id=operation_id("mine", first, hand.hosts))
    playing = threads.submit(play(cluster, hand, bad="team-b"))
    ran = lockstep("apply", wanted(tmp_path), "--resume", "mine", "--json")
    playing.result()

    documents = {each["group"]: each for each in map(json.loads, ran.out.splitlines())}
    assert ran.code == 1
    assert documents["team-a"]["id"] == begun.id
    assert {group: each["state"] for group, each in documents.items()} == {
        "team-a": "committed", "team-b": "rolled_back", "team-c": "committed",
    }  # fmt: skip
    again = lockstep("apply", wanted(tmp_path), "--resume", "mine")
    assert again.code == 1
    assert again.out.splitlines()[0].startswith("create team-b: rolled_back, node2: unreachable")
    assert len(cluster.operations()) == 3


def test_a_bad_id_anywhere_writes_nothing(lockstep: Run, hand: Hand, tmp_path: Path) -> None:
    file = tmp_path / "groups.txt"
    file.write_text("team-a\nteam b\n", "utf-8")
    ran = lockstep("apply", str(file))
    assert ran.code == 2
    assert 'group id "team b" has a character outside' in ran.err
    assert hand.keys() == []


def test_a_file_that_is_no_text(lockstep: Run, tmp_path: Path) -> None:
    file = tmp_path / "groups.bin"
    file.write_bytes(b"\xff\xfe\x00")
    ran = lockstep("apply", str(file))
    assert ran.code == 2
    assert "is no UTF-8 text" in ran.err
