"""Nodes that play a kind, as a process: walked over HTTP, under faults, and killed in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.producer.cli import main
from tests.integration.mock_process import cluster, launch
from tests.unit.kinds.made import LEAST
from tests.unit.kinds.schema import PAGES
from tests.waits import PATIENCE

FACTS = ("before", "after", "effect_seq")


def test_a_kind_is_played_under_faults_and_outlives_a_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, file = tmp_path / "history", tmp_path / "vhost.yaml"
    file.write_text(LEAST)
    given = ("--node", "n1", "--port", "0", "--kind", str(file), "--state", str(tmp_path / "state"))
    with cluster(*given, "--history", str(history)) as running:
        node = running.nodes["n1"]
        assert node.call("PUT", "/api/vhosts/team-a", json={"tags": ["x"]}).status_code == 200
        running.admin.set_faults({"kind": "error_after", "times": 1})
        assert node.call("DELETE", "/api/vhosts/c").status_code == 500
        running.process.kill()
        running.process.wait(60)
    with cluster(*given, "--history", str(history)) as running:
        node = running.nodes["n1"]
        assert node.call("GET", "/api/vhosts/team-a").json() == {"description": "", "tags": ["x"]}
        # The least kind names no `replaced`, and has no witness: the walk says both.
        assert main(["kinds", "check", str(file), "--host", node.url, "--id", "scratch"]) == 1
        running.admin.plant("n1", "vhost/planted", {"tags": ["y"]})
        assert node.call("GET", "/api/vhosts/planted").json() == {"description": "", "tags": ["y"]}
        running.admin.plant("n1", "team-a", {"owner": "x"})
        assert node.call("GET", "/v1/group/team-a/").json() == {"groupId": "team-a", "owner": "x"}
        capsys.readouterr()
        assert main(["kinds", "check", "group", "--host", node.url, "--id", "scratch"]) == 1
        assert f"\n```text\n{capsys.readouterr().out}```\n" in (PAGES / "group.md").read_text("utf-8")
    effects = [each for each in map(json.loads, history.read_text().splitlines()) if each["line"] == "effect"]
    assert effects[0]["group"] == "vhost/team-a"
    assert effects[0]["holds"] == {"description": "", "tags": ["x"]}
    assert [effects[0][fact] for fact in FACTS] == ["absent", "present", 1]
    assert [each["effect_seq"] for each in effects] == list(range(1, len(effects) + 1))
    assert (effects[-1]["after"], effects[-1]["holds"]) == ("absent", None)


def test_a_kind_that_cannot_be_played_is_refused_in_one_line() -> None:
    process = launch("--kind", "influxdb-database", "--port", "0")
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert said.startswith("mock_api: kind influxdb-database cannot be played: ")
    assert said.count("\n") == 1
