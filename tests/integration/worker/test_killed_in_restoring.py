"""A worker is killed at every point of the rollback of a delete; the nodes' own histories are the judge."""

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
        "after POST sent",
        "after POST answered",
        "after finish of undo",
    ],
)
def test_the_body_that_was_there_is_restored_although_a_worker_is_killed(bench: Bench, point: str) -> None:
    for host in bench.hosts:
        bench.admin.plant(host, bench.group, {"owner": "ada", "size": 3})
    bench.beat()
    bench.admin.set_faults(REFUSED_BY_NODE3)
    bench.admin.set_latency(300, node="node3")
    operation = bench.start(Action.DELETE)
    kill_at(bench, point)
    end = bench.end(operation)
    assert end.operation.state is State.ROLLED_BACK
    for host in bench.hosts:
        kept = bench.admin.groups(host)[bench.group]
        assert (kept["owner"], kept["size"]) == ("ada", 3)
        assert bench.effects(host) in (["DELETE", "POST"], [])
    assert bench.effects("node3") == []
    if "undo" in point or "POST" in point:
        assert any(bench.effects(host) for host in ("node1", "node2")), "there was something to undo"
