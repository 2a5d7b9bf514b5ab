"""A whole stack with Flower, after an operation that committed and one that was rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from lockstep.mock_api.admin import ClusterAdmin
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack import Stack
from lockstep.worker.celery import TaskName
from lockstep.worker.operation.model import State
from lockstep.worker.settings import load_settings
from tests.waits import PATIENCE, eventually
from tests.warm import warming

NODES = 5
LOOK = 0.5
"""Seconds between two: Flower works for long on each, and hears nothing meanwhile."""
SHORT = {
    "LOCKSTEP_READ_TIMEOUT": "2",
    "LOCKSTEP_SETTLE_SECONDS": "2",
    "LOCKSTEP_BACKOFF_BASE": "0.1",
    # Every longer wait is kept in the record, and ends with a task that the sweep publishes.
    "LOCKSTEP_BACKOFF_CAP": "0.2",
    "LOCKSTEP_SWEEP_EVERY": "0.5",
    # It would look at the groups of this file once they are a minute old, in tasks that are no operation's.
    "LOCKSTEP_PATROL_EVERY": "3600",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """The stack and the ids of its two operations."""

    stack: Stack
    committed: str
    rolled_back: str

    @property
    def flower(self) -> str:
        """Where Flower answers."""
        assert self.stack.flower_url is not None
        return self.stack.flower_url


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """Five nodes. node2 is tried thrice for team-a; node4 refuses team-b, and node2 fails."""
    env = {**SHORT, "FLOWER_UNAUTHENTICATED_API": "true"}
    with (
        warming(),
        Stack(nodes=NODES, flower=True, env=env) as stack,
        ClusterClient(load_settings(**stack.settings)) as client,
    ):
        admin = ClusterAdmin(stack.admin_url)
        admin.add_faults({"kind": "error_before", "methods": ["GET"], "times": 2}, node="node2")
        committed = client.create_group("team-a")
        assert committed.wait(timeout=PATIENCE).state is State.COMMITTED
        admin.set_faults({"kind": "error_before", "methods": ["POST"], "times": 1}, node="node2")
        admin.set_faults({"kind": "refuse", "status": 403}, node="node4")
        # The others are done by then.
        admin.set_latency(1000, node="node4")
        rolled_back = client.create_group("team-b")
        assert rolled_back.wait(timeout=PATIENCE).state is State.ROLLED_BACK
        made = Watched(stack, committed.id, rolled_back.id)
        # Tasks outlive their operation, that which waits to try node2 again for longest; Flower hears later.
        eventually(
            lambda: heard_whole(made, "team-a", "committed"), "Flower has heard all of team-a", latest=LOOK
        )
        eventually(
            lambda: heard_whole(made, "team-b", "rolled back"), "Flower has heard all of team-b", latest=LOOK
        )
        yield made


def tasks(url: str) -> dict[str, dict[str, object]]:
    """What a Flower knows, by the tasks' ids."""
    found: dict[str, dict[str, object]] = requests.get(f"{url}/api/tasks", timeout=PATIENCE).json()
    return found


def heard_whole(watched: Watched, group: str, end: str) -> bool:
    """Tell whether Flower knows a step for each host, the end, and no task that is not over."""
    ours = [task for task in tasks(watched.flower).values() if group in str(task["args"])]
    steps = {str(task["args"]) for task in ours if task["name"] == TaskName.CREATE_GROUP}
    ends = [str(task["result"]) for task in ours if task["name"] == TaskName.CONCLUDE]
    return (
        len(steps) == NODES
        and any(end in each for each in ends)
        and {task["state"] for task in ours} == {"SUCCESS"}
    )
