"""A whole stack with Flower, after an operation that committed and one that was rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mock_api.admin import ClusterAdmin
from producer.client import ClusterClient
from producer.stack import Stack
from worker.operation.states import State
from worker.settings import load_settings

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
        Stack(nodes=5, flower=True, env=env) as stack,
        ClusterClient(load_settings(**stack.settings)) as client,
    ):
        admin = ClusterAdmin(stack.admin_url)
        admin.add_faults({"kind": "error_before", "methods": ["GET"], "times": 2}, node="node2")
        committed = client.create_group("team-a")
        assert committed.wait(timeout=60).state is State.COMMITTED
        admin.set_faults({"kind": "error_before", "methods": ["POST"], "times": 1}, node="node2")
        admin.set_faults({"kind": "refuse", "status": 403}, node="node4")
        # The others are done by then.
        admin.set_latency(1000, node="node4")
        rolled_back = client.create_group("team-b")
        assert rolled_back.wait(timeout=60).state is State.ROLLED_BACK
        yield Watched(stack, committed.id, rolled_back.id)
