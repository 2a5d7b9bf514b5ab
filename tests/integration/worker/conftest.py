"""One Redis and one mock cluster for all tests here; every bench has a key prefix of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import MockCluster, RedisServer
from tests.integration.worker.harness import Bench, parts

Parts = tuple[RedisServer, MockCluster, Guard]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """The parts."""
    with parts(tmp_path_factory.mktemp("parts")) as found:
        yield found


@pytest.fixture
def bench(shared: Parts, tmp_path: Path) -> Iterator[Bench]:
    """A bench without any worker yet."""
    made = Bench(*shared, tmp_path / "bench")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def served(shared: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(*shared, tmp_path_factory.mktemp("served"))
    try:
        made.run_all()
        yield made
    finally:
        made.close()


@pytest.fixture
def running(served: Bench) -> Iterator[Bench]:
    """A bench whose worker and beat run, with a group that no other test uses."""
    yield served
    served.clear()
