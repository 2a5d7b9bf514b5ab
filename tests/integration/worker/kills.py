"""Workers that are killed at a named point; see `held` for the points."""

from __future__ import annotations

from lockstep.worker.operation.model import GroupId, HostName, OperationId, State
from tests.integration.worker.harness import Bench
from tests.waits import eventually


def kill_at(bench: Bench, point: str) -> None:
    """Run the operation's only worker until it is held, kill it there, and start another."""
    worker, mark = bench.held_worker(point)
    eventually(mark.exists, f"a worker was held {point}")
    worker.kill()
    bench.worker("next")


WAVES = {HostName("node1"): 1, HostName("node2"): 2, HostName("node3"): 2}


def waves_end(bench: Bench, operation: OperationId, state: State, group: GroupId | None = None) -> None:
    """It ends so, and by the nodes' own histories none was written to before its wave opened."""
    end = bench.end(operation)
    assert end.operation.state is state
    rollout = end.operation.rollout
    assert rollout is not None
    opened = {1: end.operation.created_at, **{m.number: m.at for m in rollout.moments if m.what == "wave"}}
    for host, step in end.steps.items():
        writes = [entry for entry in bench.history(host, group) if entry.method != "GET"]
        assert all(step.wave in opened and entry.arrived * 1000 >= opened[step.wave] - 1 for entry in writes)
        changed = ["POST"] if state is State.COMMITTED else ["POST", "DELETE"] if step.touched else []
        assert (host, bench.effects(host, group)) == (host, changed)
