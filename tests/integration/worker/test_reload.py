"""A worker that runs takes up a changed inventory, and stays with the old one if the new one is broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import eventually


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with parts(tmp_path) as found:
        made = Bench(*found, tmp_path / "bench")
        try:
            yield made
        finally:
            made.close()


def put(bench: Bench, text: str) -> None:
    """Replace the inventory by a file that was written a while ago."""
    path = Path(bench.settings.inventory)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.utime(fresh, (1.0, 1.0))
    fresh.replace(path)


def committed(bench: Bench) -> set[str]:
    """Create a group on every host that the inventory has; return where it is."""
    bench.clear()
    assert bench.end(bench.start(Action.CREATE)).operation.state is State.COMMITTED
    return bench.holding()


def test_a_worker_follows_the_inventory_without_a_restart(bench: Bench) -> None:
    path = Path(bench.settings.inventory)
    whole = path.read_text()
    put(bench, "".join(f"{line}\n" for line in whole.splitlines()[:-2]))
    bench.inventory = load_inventory(bench.settings)
    bench.beat()
    worker = bench.worker()
    assert committed(bench) == {"node1", "node2"}

    put(bench, whole)
    bench.inventory = load_inventory(bench.settings)
    assert committed(bench) == {"node1", "node2", "node3"}
    assert "inventory read again: 3 hosts; new: node3" in worker.output()

    put(bench, "hosts: [")

    def told() -> int:
        assert committed(bench) == {"node1", "node2", "node3"}
        return worker.output().count("the inventory stays as it was, 3 hosts: ")

    assert eventually(told, "the fault is told") == 1
