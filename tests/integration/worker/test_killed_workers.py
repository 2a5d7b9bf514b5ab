"""A worker is killed with SIGKILL at every point of a forward step; the nodes' histories are the judge."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench
from tests.integration.worker.kills import kill_at


@pytest.mark.parametrize(
    "point",
    [
        "before begin",
        "after begin",
        "after POST sent",
        "after POST answered",
        "after finish",
        "before claim",
        "after claim",
    ],
)
def test_a_create_commits_although_its_worker_is_killed(bench: Bench, point: str) -> None:
    bench.beat()
    operation = bench.start(Action.CREATE)
    kill_at(bench, point)
    end = bench.end(operation)
    assert end.operation.state is State.COMMITTED
    assert bench.holding() == set(bench.hosts)
    for host in bench.hosts:
        assert bench.effects(host) == ["POST"]
