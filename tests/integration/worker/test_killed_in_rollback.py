"""A worker is killed at every point of the rollback of a create; the nodes' own histories are the judge."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench
from tests.integration.worker.kills import kill_at

REFUSED_BY_NODE3 = {"kind": "refuse", "node": "node3"}


@pytest.mark.parametrize(
    "point",
    [
        "before claim",
        "after claim",
        "before begin_undo",
        "after begin_undo",
        "after DELETE sent",
        "after DELETE answered",
        "after finish of undo",
    ],
)
def test_a_refused_create_is_rolled_back_although_its_worker_is_killed(bench: Bench, point: str) -> None:
    bench.beat()
    # node3 refuses only after the others have written, or there might be nothing to undo.
    bench.admin.set_faults(REFUSED_BY_NODE3)
    bench.admin.set_latency(600, node="node3")
    operation = bench.start(Action.CREATE)
    kill_at(bench, point)
    end = bench.end(operation)
    assert end.operation.state is State.ROLLED_BACK
    assert end.operation.reason == "node3 refused (403)"
    assert bench.holding() == set()
    for host in ("node1", "node2"):
        assert bench.effects(host) in (["POST", "DELETE"], [])
    assert bench.effects("node3") == []
    if "undo" in point or "DELETE" in point:
        assert any(bench.effects(host) for host in ("node1", "node2")), "there was something to undo"


def test_a_rollback_settles_although_its_worker_is_killed_between_the_two_gets(bench: Bench) -> None:
    bench.beat()
    bench.admin.set_faults(
        REFUSED_BY_NODE3,
        {"kind": "hang_after", "node": "node1", "methods": ["POST"], "group": bench.group, "times": 1},
    )
    bench.admin.set_latency(600, node="node3")
    operation = bench.start(Action.CREATE)
    kill_at(bench, "between settle GETs")
    end = bench.end(operation)
    assert end.operation.state is State.ROLLED_BACK
    assert bench.holding() == set()
    assert bench.effects("node1") == ["POST", "DELETE"]
    assert "settled" in [attempt.state.value for attempt in end.steps["node1"].attempts]
