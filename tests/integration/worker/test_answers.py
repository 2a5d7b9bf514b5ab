"""What hosts answer, through a real worker: waits, refusals, redirects, bad requests."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, AttemptState, Outcome, Presence, State
from tests.integration.worker.harness import Bench


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_to_wait_is_waited_for(running: Bench, status: int) -> None:
    running.admin.set_faults(
        {
            "kind": "throttle",
            "status": status,
            "retry_after": 2,
            "node": "node1",
            "methods": ["POST"],
            "group": running.group,
            "times": 1,
        }
    )
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.COMMITTED
    posts = [entry.arrived for entry in running.history("node1") if entry.method == "POST"]
    assert len(posts) == 2
    assert posts[1] - posts[0] >= 2


def test_a_redirect_is_never_followed_and_rolls_back(running: Bench) -> None:
    running.admin.set_faults({"kind": "redirect", "node": "node2", "methods": ["POST"], "location": "/docs"})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert "307" in (end.operation.reason or "")
    assert running.holding() == set()


def test_a_bad_request_is_told_from_a_group_that_exists(running: Bench) -> None:
    running.admin.set_faults({"kind": "answer", "status": 400, "node": "node2", "methods": ["POST"]})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node2"].outcome is Outcome.REFUSED
    assert end.steps["node2"].before is not None
    assert end.steps["node2"].before.presence is Presence.ABSENT


def test_writes_are_spent_after_the_retries_that_were_asked_for(running: Bench) -> None:
    running.admin.set_faults({"kind": "error_before", "node": "node2", "methods": ["POST"]})
    end = running.end(running.start(Action.CREATE, retries=3))
    assert end.operation.state is State.ROLLED_BACK
    posts = [entry for entry in running.history("node2") if entry.method == "POST"]
    assert len(posts) == 1 + 3
    assert all(a.state is not AttemptState.OPEN for a in end.steps["node2"].attempts)


def test_once_a_host_has_failed_the_others_write_nothing_more(running: Bench) -> None:
    running.admin.set_faults({"kind": "refuse", "node": "node1", "group": running.group})
    for host in ("node2", "node3"):
        running.admin.set_faults({"kind": "error_before", "methods": ["GET"], "times": 3}, node=host)
    operation = running.start(Action.CREATE)
    end = running.end(operation)
    decided = (end.operation.decided_at or 0) / 1000
    late = [e for e in running.history() if e.method == "POST" and e.arrived > decided + 0.05]
    assert end.operation.state is State.ROLLED_BACK
    assert late == []
