"""The command with real workers, beat and nodes; everywhere else here the work of workers is done by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep import ClusterClient, State
from lockstep.producer.cli import main
from lockstep.worker.operation.model import GroupId
from tests.integration.producer.conftest import Ran, Run
from tests.integration.producer.hand import PATIENCE
from tests.integration.producer.pages import ROOT, run_examples
from tests.integration.producer.test_cli_process import start
from tests.integration.worker.harness import Bench, parts
from tests.waiting import eventually
from tests.warm import ANEW


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Three nodes, one worker for both queues, and beat."""
    with parts(tmp_path_factory.mktemp("parts")) as found:
        bench = Bench(*found, tmp_path_factory.mktemp("bench"))
        try:
            bench.run_all()
            yield bench
        finally:
            bench.close()


@pytest.fixture
def bench(served: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The same, as the environment of a command has it; the nodes are whole and hold nothing."""
    for name, value in served.values.items():
        monkeypatch.setenv(f"LOCKSTEP_{name.upper()}", value)
    yield served
    served.clear()


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return ran


@pytest.fixture
def cluster(bench: Bench) -> Iterator[ClusterClient]:
    with ClusterClient(bench.settings) as made:
        yield made


def test_apply_creates_what_is_missing_and_deletes_what_is_listed(
    run: Run, bench: Bench, tmp_path: Path
) -> None:
    for node in bench.cluster.nodes:
        bench.admin.plant(node, "old")
    bench.admin.plant("node2", "team-a")
    # Of team-b alone: on node3 it would let team-c take effect before the refusal.
    bench.admin.add_faults({"kind": "error_after", "methods": ["POST"], "group": "team-b", "times": 1})
    bench.admin.add_faults({"kind": "refuse", "group": "team-c"}, node="node3")
    file = tmp_path / "wanted.yaml"
    file.write_text("present: [team-a, team-b, team-c]\nabsent: [old, never]\n")

    ran = run("apply", str(file), "--resume", "first", "--json")

    states = {each["group"]: each["state"] for each in map(json.loads, ran.out.splitlines())}
    assert (ran.code, ran.err) == (1, "run first: 5 groups\n")
    assert states == {
        "team-a": "committed", "team-b": "committed", "team-c": "rolled_back",
        "old": "committed", "never": "committed",
    }  # fmt: skip
    assert all(set(bench.admin.groups(node)) == {"team-a", "team-b"} for node in bench.cluster.nodes)

    again = run("apply", str(file), "--resume", "first")
    assert again.out.splitlines()[-1] == "run first: 4 committed, 1 rolled back"
    assert len([entry for entry in bench.history("node3", GroupId("team-c")) if entry.method == "POST"]) == 1


def test_watch_shows_a_rollback_as_it_happens(bench: Bench, cluster: ClusterClient) -> None:
    bench.admin.plant("node1", "team-w")
    bench.admin.add_faults({"kind": "error_before", "methods": ["POST"], "times": 2}, node="node2")
    bench.admin.set_latency({"fixed": 500}, node="node3")  # the others have written before it refuses
    bench.admin.add_faults({"kind": "refuse", "status": 403}, node="node3")
    operation = cluster.create_group("team-w")

    with start("watch", operation.id) as process:
        out, err = process.communicate(timeout=2 * PATIENCE)

    lines = out.splitlines()
    assert (process.returncode, err) == (0, "")
    assert "node1  present  not changed: it was present before  0  -  -" in lines
    assert any(re.match("node2  absent  changed by write .*, undone: ", line) for line in lines), out
    assert any(re.match(r"node3  absent  not changed: .*\(403\)", line) for line in lines), out
    assert lines[-1].startswith("create team-w: rolled_back")
    assert {node for node in bench.cluster.nodes if "team-w" in bench.admin.groups(node)} == {"node1"}


def test_a_host_that_stays_away_is_named_as_stuck_and_abandoned(
    run: Run, bench: Bench, cluster: ClusterClient
) -> None:
    bench.admin.add_faults({"kind": "refuse"}, node="node3")
    bench.admin.set_latency({"fixed": 500}, node="node3")  # the others have written before it refuses
    bench.admin.add_faults({"kind": "refuse", "methods": ["DELETE"]}, node="node1")
    operation = cluster.create_group("team-x")
    eventually(lambda: operation.status().stalled_hosts == ("node1",), "node1 refuses to be restored")

    stuck = run("list", "--stuck")
    assert stuck.code == 1
    assert f"{operation.id}  create team-x: node1 cannot be restored" in stuck.out

    ran = run("abandon", operation.id, "node1", "--reason", "scrapped", "--as", "bob")

    assert (ran.code, ran.err) == (0, "")
    assert operation.wait_end(PATIENCE).state is State.ABANDONED
    assert [step.undo.value for step in operation.steps()] == ["abandoned", "restored", "restored"]
    assert {node for node in bench.cluster.nodes if "team-x" in bench.admin.groups(node)} == {"node1"}
    assert run("exists", "node1", "team-x").code == 0
    assert run("list", "--stuck").code == 0


def test_doctor_finds_nothing_wrong_with_a_whole_stack(run: Run, bench: Bench) -> None:
    eventually(lambda: run("doctor", "--json").code == 0, "the first sweep is done")
    ran = run("doctor", "--json")
    found = [(each["subject"], each["level"]) for each in json.loads(ran.out)["findings"]]
    assert ran.code == 0, ran.out
    assert found == [
        (subject, "ok")
        for subject in (
            "settings", "redis", "redis", "redis", "redis", "queue operations", "queue rollback", "versions",
            "beat", "operations", "patrol", "clock", "memory", "inventory", "host",
        )
    ]  # fmt: skip
    versions = next(each["text"] for each in json.loads(ran.out)["findings"] if each["subject"] == "versions")
    assert versions.endswith(" everywhere")


def test_doctor_tells_a_worker_of_another_version(run: Run, bench: Bench) -> None:
    old = bench.worker("old", app="tests.integration.producer.old_worker", env=ANEW)
    try:
        findings = json.loads(run("doctor", "--json").out)["findings"]
    finally:
        old.stop()
    (mixed,) = (each for each in findings if each["subject"] == "versions")
    assert mixed["level"] == "warning"
    assert "lockstep 0.0.1" in mixed["text"]
    assert "old@" in mixed["text"]
    assert mixed["remedy"]


def test_the_python_of_the_page_does_what_it_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = {"node1": "eu", "node2": "eu", "node3": "us"}
    hosts = [
        {"name": name, "url": url, "labels": {"zone": zones[name]}}
        for name, url in bench.cluster.nodes.items()
    ]
    inventory = bench.directory / "labelled.json"
    inventory.write_text(json.dumps(hosts))
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(inventory))
    bench.admin.add_faults({"kind": "refuse", "status": 403, "group": "forbidden"}, node="node3")

    ran = run_examples("docs/python.md")

    assert ran.attempted > 30
    assert ran.failed == 0


def test_the_python_of_the_readme_runs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    exec(example, {})
    assert capsys.readouterr().out == ""
    assert all("team-a" in bench.admin.groups(node) for node in bench.cluster.nodes)
