"""What runs at every period: for how long one worker keeps it from the others, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from lockstep.worker.celery import Lockstep, TaskName, make_app
from lockstep.worker.operation.model import Millis
from lockstep.worker.settings import Settings
from tests.contract.bench import LIMITS
from tests.twin.store import MemoryStore


class Periods:
    """An application whose record is in memory, at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000
        self.store = MemoryStore(lambda: Millis(self.now), LIMITS)
        self.app: Lockstep = make_app(Settings(hosts="http://node1:1", patrol_every=300, sweep_every=2))
        self.app.loader.import_default_modules()
        runtime = SimpleNamespace(store=self.store, settings=self.app.settings)
        self.app.build_runtime = lambda _: runtime  # type: ignore[attr-defined]

    def run(self, task: str) -> str:
        """Run it as a worker does, at this time."""
        said: str = self.app.tasks[task]()
        return said


@pytest.fixture
def periods() -> Iterator[Periods]:
    made = Periods()
    yield made
    made.app.close()


@pytest.mark.parametrize(("task", "held"), [(TaskName.PATROL, 150_000), (TaskName.SWEEP, 1000)])
def test_half_a_period_after_it_was_done_another_worker_may_do_it_again(
    periods: Periods, task: str, held: int
) -> None:
    """A message that comes twice is done once, and the next period's is not held up."""
    name, said = task.removeprefix("lockstep."), periods.run(task)
    assert said in ("0 groups", "resumed 0")
    periods.now += held - 1
    assert periods.run(task) == f"another {name} is at it"
    periods.now += 1
    assert periods.run(task) == said
