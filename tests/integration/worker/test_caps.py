"""A capped worker has no more calls under way than it may, and still brings operations to their end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.worker.harness import Bench, parts
from worker.operation.model import Action
from worker.operation.states import State


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with parts(tmp_path) as found:
        made = Bench(*found, tmp_path / "bench", {"max_calls": "1", "visibility_timeout": "40"})
        try:
            yield made
        finally:
            made.close()


def test_one_call_at_a_time(bench: Bench) -> None:
    bench.run_all()
    bench.admin.set_latency(100)

    assert bench.end(bench.start(Action.CREATE)).operation.state is State.COMMITTED
    bench.admin.add_faults({"kind": "refuse", "methods": ["DELETE"], "status": 403}, node="node2")
    assert bench.end(bench.start(Action.DELETE)).operation.state is State.ROLLED_BACK

    calls = sorted((entry.arrived, entry.answered_at or 0.0) for entry in bench.history())
    assert len(calls) >= 9
    assert all(answered <= arrived for (_, answered), (arrived, _) in pairwise(calls))
