"""The command with real workers, beat and nodes; everywhere else here the work of workers is done by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep import ClusterClient, Operation, State
from lockstep.producer.cli import main
from lockstep.worker.operation.model import GroupId, Stage
from tests.contract.producer.conftest import Ran, Run
from tests.integration.producer.pages import ROOT, run_examples
from tests.integration.producer.test_cli_process import start
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
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
    bench.admin.add_faults({"kind": "refuse", "status": 403}, node="node3")
    bench.admin.down("node3")
    operation = cluster.create_group("team-w")

    with start("watch", operation.id) as process:
        eventually(lambda: "team-w" in bench.admin.groups("node2"), "node2 has been changed")
        bench.admin.up("node3")
        out, err = process.communicate(timeout=2 * PATIENCE)

    lines = out.splitlines()
    assert (process.returncode, err) == (0, "")
    assert "node1  present  not changed: it was present before  0  -" in lines
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
    def healthy() -> list[dict[str, str]] | None:
        ran = run("doctor", "--json")
        found: list[dict[str, str]] = json.loads(ran.out)["findings"]
        return found if ran.code == 0 and all(each["level"] == "ok" for each in found) else None

    # Once the first sweep is done, and each worker has answered in time.
    findings = eventually(healthy, "nothing is wrong")
    assert [each["subject"] for each in findings] == [
        "settings", "redis", "redis", "redis", "redis", "queue operations", "queue rollback", "versions",
        "beat", "operations", "patrol", "clock", "memory", "records", "inventory", "host",
    ]  # fmt: skip
    versions = next(each["text"] for each in findings if each["subject"] == "versions")
    assert versions.endswith(" everywhere")


def test_doctor_tells_a_worker_of_another_version(run: Run, bench: Bench) -> None:
    old = bench.worker("old", app="tests.integration.producer.old_worker", env=ANEW)

    def mixed() -> dict[str, str] | None:
        findings = json.loads(run("doctor", "--json").out)["findings"]
        return next(
            (each for each in findings if each["subject"] == "versions" and "old@" in each["text"]), None
        )

    try:
        told = eventually(mixed, "it has answered in time")
    finally:
        old.stop()
    assert told["level"] == "warning"
    assert "lockstep 0.0.1" in told["text"]
    assert told["remedy"]


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
    assert capsys.readouterr().out == "committed None ()\n"
    assert all("team-a" in bench.admin.groups(node) for node in bench.cluster.nodes)


def test_waves_go_on_after_a_bake_and_a_gate_and_a_hold_is_promoted(
    run: Run, bench: Bench, cluster: ClusterClient
) -> None:
    operation = cluster.create_group("team-v", waves="1", bake=0.3, hold=True)
    eventually(lambda: hold_of(operation) == (1, Stage.WAITING) or None, "the first wave is held")
    assert {node for node in bench.cluster.nodes if "team-v" in bench.admin.groups(node)} == {"node1"}
    shown = run("show", operation.id)
    assert "wave 1 of 3, waiting, held by the operation: it is held after each wave" in shown.out
    busy = run("create", "team-v")  # nobody waits for what a person has to release
    assert busy.code == 6
    assert f'busy: operation "{operation.id}" is in wave 1 of 3, waiting, held by the operation' in busy.err

    ran = run("promote", operation.id, "--as", "bob")

    assert (ran.code, ran.err) == (0, "")
    eventually(lambda: hold_of(operation) == (2, Stage.WAITING) or None, "the second wave is held")
    again = run("promote", operation.id, "--hold", "1")
    assert (again.code, again.out) == (0, f"released operation {operation.id} already\n")
    assert hold_of(operation) == (2, Stage.WAITING)
    assert run("promote", operation.id, "--hold", "3").code == 8
    assert run("promote", operation.id, "--hold", "2").code == 0
    assert operation.wait_end(2 * PATIENCE).state is State.COMMITTED
    assert all("team-v" in bench.admin.groups(node) for node in bench.cluster.nodes)
    assert run("promote", operation.id).code == run("hold", operation.id, "--reason", "late").code == 8


def hold_of(operation: Operation) -> tuple[int, Stage] | None:
    """Which wave is held, and where in it."""
    standing = operation.status().rollout
    return (standing.wave, standing.stage) if standing and standing.hold else None


def test_a_canary_that_fails_at_the_gate_is_restored_and_nobody_else_was_written_to(
    run: Run, bench: Bench, cluster: ClusterClient
) -> None:
    group = GroupId("team-u")
    operation = cluster.create_group(group, waves="1,100%", bake=1)
    eventually(lambda: operation.status().hosts_done == 1 or None, "the canary is changed")
    bench.admin.add_faults(
        {"kind": "error_before", "methods": ["GET"], "group": group, "times": 3}, node="node1"
    )

    result = operation.wait(2 * PATIENCE)

    assert result.state is State.ROLLED_BACK, result
    assert str(result.reason).startswith("node1 failed at the gate (GET 500")
    assert all(group not in bench.admin.groups(node) for node in bench.cluster.nodes)
    assert [bench.history(node, group) for node in ("node2", "node3")] == [[], []], "not even asked"


def test_a_failure_in_the_last_wave_undoes_the_first(bench: Bench, cluster: ClusterClient) -> None:
    bench.admin.add_faults({"kind": "refuse", "status": 403}, node="node3")
    result = cluster.create_group("team-t", waves="1,1,1").wait(2 * PATIENCE)
    assert result.state is State.ROLLED_BACK
    assert str(result.reason).startswith("node3 refused (")
    assert all("team-t" not in bench.admin.groups(node) for node in bench.cluster.nodes)
    writes = [entry.method for entry in bench.history("node1", GroupId("team-t")) if entry.method != "GET"]
    assert writes == ["POST", "DELETE"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--waves", "0,100%"], 'a wave of "0" hosts is empty: a size is at least 1 or 1%'),
        (["--waves", "101%"], 'a wave of "101%" is more than all hosts: a share is at most 100%'),
        (["--waves", "many"], 'a wave of "many" hosts: give numbers of hosts, or shares of all'),
        (["--wave-by", "zone"], 'no label "zone" on node1, node2, node3: every host needs one'),
        (["--bake", "60s"], 'bake "60s" is about waves: give waves or wave_by as well'),
        (["--hold"], "hold is about waves: give waves or wave_by as well"),
        (["--health", "/up"], 'health "/up" is about waves: give waves or wave_by as well'),
        (["--waves", "1", "--health", "up"], 'health "up": give a path such as /health'),
        (["--waves", "1", "--bake", "soon"], 'bake "soon": give a time above 0 and at most 30d, such as'),
        (["--waves", "1", "--expires", "1e300s"], 'expires "1e300s": give a time above 0 and at most 30d'),
        (["--waves", "9" * 5000], "hosts: give numbers of hosts, or shares of all"),
        (["--waves", "1", "--hosts", "node1"], "waves for one host, node1: leave them out"),
        (["--waves", "1", "--wave-by", "zone"], "give waves or wave_by, not both"),
    ],
)
def test_waves_that_cannot_be_are_one_line_and_nothing_is_written(
    run: Run, cluster: ClusterClient, options: list[str], said: str
) -> None:
    before = len(cluster.operations(100))
    ran = run("create", "team-s", *options)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert len(cluster.operations(100)) == before
