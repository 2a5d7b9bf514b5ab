"""One Redis and one mock cluster for all tests here; every bench has a key prefix of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import MockCluster, RedisServer
from tests.chaos.journal import commands
from tests.integration.worker.harness import BY_HAND, DECIDED_LATER, Bench, parts
from tests.model.trace import replay

Parts = tuple[RedisServer, MockCluster, Guard]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """The parts; at the end, every transition that tests brought about is held to the model."""
    with parts(tmp_path_factory.mktemp("parts")) as found:
        yield found
    assert replay(commands(found[0].directory), but_not=BY_HAND, late=DECIDED_LATER).wrong == []


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
