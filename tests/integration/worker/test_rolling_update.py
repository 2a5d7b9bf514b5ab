"""Workers of the release before, and those of today, carry on each other's operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.producer.stack.child import Child
from lockstep.worker.operation.model import Action, GroupId, OperationId, State
from lockstep.worker.operation.waves import Rollout
from lockstep.worker.record.keys import Keys
from tests.integration.worker.harness import DECIDED_LATER, ROOT, Bench
from tests.integration.worker.kills import WAVES, waves_end
from tests.release_before import FORGET, OLD_WORKER, built, known
from tests.waits import PATIENCE, eventually

EACH = 4


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel of the release before installs, built here."""
    if not known():
        pytest.skip("the history of this tree is not here")
    return built(tmp_path_factory.mktemp("before"))


def old_worker(bench: Bench, before: Path, queues: str = "operations,rollback") -> Child:
    options = ["-A", "worker", "worker", "-Q", queues, "-n", "old@%h", "-l", "INFO"]
    old = bench.child("old", ["-c", OLD_WORKER, *options], {"PYTHONPATH": str(before)})
    eventually(lambda: " ready." in old.output() or not old.running, "the old worker is ready")
    return old


def test_a_rolling_update_ends_every_operation_that_either_release_began(bench: Bench, before: Path) -> None:
    bench.beat()
    old = old_worker(bench, before)
    bench.admin.set_latency(150)
    bad = [GroupId(f"{bench.group}-bad{n}") for n in range(3 * EACH)]
    good = [GroupId(f"{bench.group}-good{n}") for n in range(3 * EACH)]
    for group in bad:
        bench.admin.add_faults({"kind": "refuse", "status": 403, "group": group}, node="node3")
    began: dict[OperationId, GroupId] = {}

    def begin(turn: int) -> None:
        for groups in (bad, good):
            for group in groups[turn * EACH : (turn + 1) * EACH]:
                operation = bench.start(Action.CREATE, group)
                DECIDED_LATER.add(Keys(bench.settings.key_prefix).operation(operation))
                began[operation] = group

    begin(0)
    eventually(lambda: any(bench.read(each).decision for each in began), "the old worker has decided one")
    new = bench.worker("new")
    begin(1)
    eventually(lambda: sum(bench.read(each).ended for each in began) > EACH, "some have ended")
    begin(2)
    old.stop()
    for operation, group in began.items():
        end = bench.end(operation)
        state = State.ROLLED_BACK if group in bad else State.COMMITTED
        assert (end.operation.state, group) == (state, group)
        assert bench.holding(group) == (set() if group in bad else set(bench.hosts))
        if group in bad:
            assert end.operation.reason == "node3 refused (403)"
    assert "Traceback" not in new.output()


@pytest.mark.timeout(240)
def test_a_worker_of_the_release_before_runs_no_wave_early_and_strands_none(
    bench: Bench, before: Path
) -> None:
    """Clients refuse waves while it reports, but it may be started after an operation was accepted.

    It keeps each message of such an operation until its visibility is over; the sweep sends others meanwhile,
    of which it may get most: each of the two waves may have to wait until what it kept is given back.
    """
    bench.beat()
    old = old_worker(bench, before, "operations")
    groups = [bench.group]
    began = {group: bench.start(Action.CREATE, group, rollout=Rollout(WAVES)) for group in groups}
    eventually(lambda: "is left to a newer worker" in old.output(), "the old worker was sent some of it")
    seen = {(entry.node, entry.method) for group in groups for entry in bench.history(group=group)}
    assert seen <= {("node1", "GET")}, "it looked at the host of the open wave, and wrote nothing"
    # Redis serves who waits longest: of two workers, one gets each sweep, and the other all that it sends.
    for name in ("new", "newer"):
        bench.worker(name)
    kept = 2 * (bench.settings.visibility_timeout + bench.settings.restore_every)
    for group, operation in began.items():
        bench.end(operation, kept + PATIENCE)
        waves_end(bench, operation, State.COMMITTED, group)
    assert old.running


def test_an_operation_that_the_release_before_left_undecided_is_decided(bench: Bench, before: Path) -> None:
    """Its last finish and its decision were two scripts; its worker is killed between them."""
    code = (
        f"{FORGET}import sys\n"
        "from worker.settings import load_settings\n"
        "from worker.store.connection import connect\n"
        "from worker.operation.model import Presence, Seen\n"
        "from worker.store.base import Verdict\n"
        "store = connect(load_settings())\n"
        "operation, *hosts = sys.argv[1:]\n"
        "for verdict, host in zip((Verdict.APPLIED, Verdict.REFUSED), hosts):\n"
        "    name, fingerprint = host.split('=')\n"
        "    store.begin(operation, name, fingerprint, Seen(Presence.ABSENT), name)\n"
        "    store.finish(operation, name, name, verdict, '403')\n"
    )
    operation = bench.accept(Action.CREATE)
    DECIDED_LATER.add(Keys(bench.settings.key_prefix).operation(operation))
    hosts = [f"{host.name}={host.fingerprint}" for host in bench.inventory][:2]
    env = {**bench.env, "PYTHONPATH": str(before)}
    subprocess.run([sys.executable, "-c", code, operation, *hosts], env=env, cwd=bench.directory, check=True)
    assert bench.read(operation).decision is None
    bench.run_all()
    end = bench.end(operation)
    assert (end.operation.state, end.operation.reason) == (State.ROLLED_BACK, "node2 refused (403)")


BEGIN = (
    f"{FORGET}import importlib, sys\n"
    "with importlib.import_module(sys.argv[1]).ClusterClient() as cluster:\n"
    "    for action, group in (wish.split('=') for wish in sys.argv[2:]):\n"
    "        try:\n"
    "            print(getattr(cluster, action + '_group')(group).id)\n"
    "        except Exception as error:\n"
    "            print(type(error).__name__, str(error))\n"
)


def test_clients_of_both_releases_exclude_each_other_on_one_group(bench: Bench, before: Path) -> None:
    """No worker runs: what is accepted first keeps the group."""

    def begin(root: Path, *wishes: str) -> list[str]:
        env = {**bench.env, "PYTHONPATH": str(root), "LOCKSTEP_LOCK_WAIT": "0.1"}
        command = [sys.executable, "-c", BEGIN, "lockstep" if root == ROOT else "producer", *wishes]
        ran = subprocess.run(
            command, env=env, cwd=bench.directory, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    one, two = f"{bench.group}-one", f"{bench.group}-two"
    (ours,) = begin(ROOT, f"create={one}")
    refused, theirs = begin(before, f"delete={one}", f"create={two}")
    assert refused.startswith("GroupBusy "), refused
    assert ours in refused
    (refused,) = begin(ROOT, f"delete={two}")
    assert refused.startswith("GroupBusy "), refused
    assert theirs in refused
    for each in (ours, theirs):
        DECIDED_LATER.add(Keys(bench.settings.key_prefix).operation(OperationId(each)))
    bench.run_all()
    assert [bench.end(OperationId(each)).operation.state for each in (ours, theirs)] == [State.COMMITTED] * 2
    assert bench.holding(GroupId(one)) == bench.holding(GroupId(two)) == set(bench.hosts)
