"""Workers that are killed at a named point; see `held` for the points."""

from __future__ import annotations

from tests.integration.worker.harness import Bench
from tests.waiting import eventually


def kill_at(bench: Bench, point: str) -> None:
    """Run the operation's only worker until it is held, kill it there, and start another."""
    worker, mark = bench.held_worker(point)
    eventually(mark.exists, f"a worker was held {point}")
    worker.kill()
    bench.worker("next")
