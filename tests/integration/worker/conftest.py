"""One Redis and one mock cluster for all tests here; every test has a key prefix and a group of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.harness import Bench, parts


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with parts(tmp_path_factory.mktemp("parts")) as found:
        yield found


@pytest.fixture
def bench(shared: tuple[object, object, object], tmp_path: Path) -> Iterator[Bench]:
    redis, cluster, guard = shared
    made = Bench(redis, cluster, guard, tmp_path / "bench")  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
