"""Hosts that are down, hang, or are not those of the record, through a real worker."""

from __future__ import annotations

from pathlib import Path

from lockstep.worker.operation.model import Action, Outcome, State
from tests.integration.worker.conftest import Parts
from tests.integration.worker.harness import Bench
from tests.waits import eventually


def test_a_host_that_is_down_is_unreachable_and_untouched(running: Bench) -> None:
    running.admin.down("node3")
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node3"].outcome is Outcome.UNREACHABLE
    assert not end.steps["node3"].touched
    assert running.holding() == set()


def test_a_host_down_during_rollback_keeps_the_operation_open_until_it_returns(running: Bench) -> None:
    group = running.group
    running.admin.set_faults({"kind": "refuse", "node": "node3", "group": group})
    running.admin.set_latency(700, node="node3")
    operation = running.start(Action.CREATE)
    eventually(lambda: group in running.admin.groups("node2"), "node2 has the group")
    running.admin.down("node2")
    eventually(lambda: running.read(operation).stalled_hosts == ("node2",), "node2 is named")
    eventually(lambda: running.read(operation).pending_hosts == ("node2",), "the others are restored")
    assert running.read(operation).state is State.ROLLING_BACK
    assert running.holding() <= {"node2"}
    running.admin.up("node2")
    end = running.end(operation)
    assert end.operation.state is State.ROLLED_BACK
    assert running.holding() == set()


def test_rollback_does_not_wait_for_a_host_that_hangs(shared: Parts, tmp_path: Path) -> None:
    slow = {"read_timeout": "5", "call_timeout": "5", "settle_seconds": "5", "visibility_timeout": "42"}
    bench = Bench(*shared, tmp_path / "bench", overrides=slow)
    try:
        bench.worker()  # and no beat: nothing but the failing step itself can bring the rollback so soon
        bench.admin.set_faults(
            {"kind": "refuse", "node": "node2", "group": bench.group},
            {"kind": "hang_before", "node": "node3", "methods": ["GET"], "group": bench.group},
        )
        bench.admin.set_latency(200, node="node2")  # refuses once node1 has written
        bench.start(Action.CREATE)
        eventually(lambda: bench.effects("node1") == ["POST", "DELETE"], "node1 is restored")
        assert [entry.ended_at for entry in bench.history("node3")] == [None], "its first GET still hangs"
    finally:
        bench.close()


def test_a_worker_with_another_inventory_writes_nothing(shared: Parts, tmp_path: Path) -> None:
    bench = Bench(*shared, tmp_path / "bench", {"deadline": "5"})
    try:
        _with_another_inventory(bench, tmp_path)
    finally:
        bench.close()


def _with_another_inventory(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    urls = list(bench.cluster.nodes.values())
    swapped = [urls[1], urls[0], urls[2]]
    other.write_text(
        "hosts:\n" + "".join(f"  - name: node{n}\n    url: {url}\n" for n, url in enumerate(swapped, 1))
    )
    bench.beat()
    bench.worker(env={"LOCKSTEP_INVENTORY": str(other)})
    end = bench.end(bench.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert "another URL" in (end.operation.reason or "")
    assert "the deadline leaves no time" in (end.operation.reason or "")
    assert not any(bench.effects(host) for host in ("node1", "node2"))
