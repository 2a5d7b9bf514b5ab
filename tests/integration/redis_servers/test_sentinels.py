"""Three real Sentinels, and a primary killed while operations run: none of them is lost or half done."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.guard import Guard
from lockstep.worker.operation.errors import CancelRefused, StoreUnavailable
from lockstep.worker.operation.model import Action, GroupId, State
from lockstep.worker.operation.story import Result
from tests.integration.redis_servers.servers import Replicated, Watched
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually
from tests.warm import WarmCluster

CALLERS = 4


@pytest.fixture
def guard() -> Iterator[Guard]:
    with closing(Guard()) as guard:
        yield guard


@pytest.fixture
def watched(tmp_path: Path, guard: Guard) -> Watched:
    return Watched.start(tmp_path, guard)


@pytest.fixture
def bench(tmp_path: Path, guard: Guard, watched: Watched) -> Iterator[Bench]:
    """A worker for each queue, and beat."""
    cluster = WarmCluster(tmp_path, 3, guard=guard)
    cluster.start()
    given = {"redis_url": watched.url(), "replicas_wait": "1"}  # the killed one is not started again
    with closing(Bench(watched.primary(), cluster, guard, tmp_path / "bench", given)) as bench:
        bench.beat()
        bench.keep_running("forward", "operations")
        bench.keep_running("back", "rollback")
        yield bench


@dataclass(slots=True)
class Load:
    """Callers that create, delete and cancel, each on groups of its own, and wait for every end."""

    cluster: ClusterClient
    stop: Event = field(default_factory=Event)
    accepted: list[Operation] = field(default_factory=list)
    ended: list[Result] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many have been accepted and not seen to end."""
        return len(self.accepted) - len(self.ended)

    @property
    def committed(self) -> int:
        """How many have come to the end that was asked for."""
        return sum(result.committed for result in self.ended)

    def run(self, caller: int) -> None:
        """Make operations until told to stop: of three groups one is cancelled, one deleted, one kept."""
        for number in itertools.count():
            group = f"team-{caller}-{number}"
            created = self._accept(Action.CREATE, group)
            if number % 3 == 0:
                self._cancel(created)
            self._end(created)
            if number % 3 == 1:
                self._end(self._accept(Action.DELETE, group))
            if self.stop.is_set():
                return

    def _accept(self, action: Action, group: str) -> Operation:
        """Ask until it is taken; asking again with the same id is safe."""
        start = self.cluster.create_group if action is Action.CREATE else self.cluster.delete_group

        def ask() -> list[Operation]:
            try:
                return [start(group, operation_id=f"{action.value}-{group}")]
            except StoreUnavailable:
                return []

        operation = eventually(ask, f"{group} is taken")[0]
        self.accepted.append(operation)
        return operation

    def _cancel(self, operation: Operation) -> None:
        def ask() -> bool:
            try:
                operation.cancel("a test")
            except StoreUnavailable:
                return False
            except CancelRefused:  # it was decided before, perhaps by a try whose answer was lost
                return True
            return True

        eventually(ask, "the cancellation is taken")

    def _end(self, operation: Operation) -> None:
        # An operation that was lost is unknown here: the error names it and fails the test.
        self.ended.append(operation.wait_end(timeout=PATIENCE))


def keys(primary: Replicated) -> set[str]:
    """Every key there is."""
    with primary.client() as client:
        return set(client.scan_iter(count=1000))


def test_a_failover_under_load_loses_nothing_and_leaves_no_group_half_done(
    watched: Watched, bench: Bench
) -> None:
    first = watched.primary()
    bench.admin.set_latency(50)
    with ClusterClient(bench.settings) as cluster, ThreadPoolExecutor(CALLERS) as pool:
        load = Load(cluster)
        callers: list[Future[None]] = [pool.submit(load.run, caller) for caller in range(CALLERS)]
        try:
            eventually(lambda: load.committed >= CALLERS and load.open >= 2, "operations run")
            seen = keys(first)
            first.kill()
            eventually(lambda: watched.primary() is not first, "another server is the primary")
            before = load.committed
            eventually(
                lambda: load.committed >= before + 2 * CALLERS or any(caller.done() for caller in callers),
                "operations end again",
            )
        finally:
            load.stop.set()
        for caller in callers:
            caller.result()
        seen |= keys(watched.primary())
    assert load.open == 0
    there: dict[str, set[str]] = {}
    for result in load.ended:
        there.setdefault(result.group, set())
        if result.committed:
            creates = result.operation_id.startswith(Action.CREATE.value)
            there[result.group] = set(bench.cluster.nodes) if creates else set()
        else:
            assert result.state is State.ROLLED_BACK
    assert {group: bench.holding(group) for group in map(GroupId, there)} == there
    assert State.ROLLED_BACK in {result.state for result in load.ended}
    assert any(there.values())
    prefix = bench.settings.key_prefix
    assert {key for key in seen if not key.startswith(prefix)} == set()
    assert any(key.startswith(f"{prefix}celery:_kombu") for key in seen)
