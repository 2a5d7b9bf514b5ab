"""While the inventory changes from worker to worker, no operation is rolled back for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.producer.stack.child import Child
from lockstep.worker.connection import client
from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.operation.model import Action, GroupId, OperationId, State, Status
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Clocks
from tests.integration.worker.harness import Bench, parts
from tests.waits import eventually

EACH_WAY = 100
"""Creates in either direction."""
WORKERS = 3
LONGEST = 150.0
"""Seconds in which all must have ended; an operation has 60 s, and they run side by side."""
LAG = 6.0
"""Seconds at least for which every worker is behind the producer."""
TENTH = {"deadline": "30", "patience": "3"}
"""Of the shipped times; the other short ones are about a tenth, too."""
BEHIND = 40
"""Creates at least that begin within the lag."""


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with parts(tmp_path, nodes=4) as found:
        made = Bench(*found, tmp_path / "bench", getattr(request, "param", {"deadline": "60"}))
        try:
            yield made
        finally:
            made.close()


class Fleet:
    """Workers with a file of their own each, and a producer with another one."""

    def __init__(self, bench: Bench, tmp_path: Path, text: str) -> None:
        self.bench = bench
        self.files = [tmp_path / f"worker{n}.yaml" for n in range(WORKERS)]
        for file in self.files:
            put(file, text)
        env = ({"LOCKSTEP_INVENTORY": str(file)} for file in self.files)
        self.workers: list[Child] = [bench.worker(f"w{n}", env=each) for n, each in enumerate(env)]
        self._numbers = itertools.count()
        self._redis = client(bench.settings)

    def creates(self, number: int) -> list[OperationId]:
        """Begin so many creates on every host that the producer knows."""
        groups = [GroupId(f"g{next(self._numbers)}") for _ in range(number)]
        return [self.bench.start(Action.CREATE, group) for group in groups]

    def digests(self) -> list[str]:
        """What the workers report of their inventories."""
        clocks = Clocks(self._redis, Keys(self.bench.settings.key_prefix))
        return [held.digest for held in clocks.inventories().values()]

    def begin_while_changing(self, producer: str, old: str, new: str) -> list[OperationId]:
        """Begin creates with the producer's inventory while one worker after another gets the new one."""
        self.bench.inventory = inventory(self.bench, producer)
        for file in self.files:
            put(file, old)
        begun: list[OperationId] = []
        for file in self.files:
            begun += self.creates(EACH_WAY // (WORKERS + 1))
            put(file, new)
        return begun + self.creates(EACH_WAY - len(begun))


def put(path: Path, text: str) -> None:
    """Replace an inventory by one that was written a while ago."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.utime(fresh, (1.0, 1.0))
    fresh.replace(path)


def inventory(bench: Bench, text: str) -> Inventory:
    path = Path(bench.settings.inventory)
    put(path, text)
    return load_inventory(bench.settings)


def ended(bench: Bench, begun: list[OperationId]) -> list[Status]:
    """What the operations came to, once all have ended; each is asked for until it has, and no longer."""
    left = list(begun)

    def all_have() -> bool:
        while left and bench.read(left[-1]).ended:
            left.pop()
        return not left

    eventually(all_have, "all have ended", LONGEST)
    return [bench.read(each) for each in begun]


def without_last(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines()[:-2])


@pytest.mark.timeout(2 * LONGEST)
def test_creates_go_on_while_a_node_is_added_and_removed(bench: Bench, tmp_path: Path) -> None:
    many = Path(bench.settings.inventory).read_text()
    few = without_last(many)
    fleet = Fleet(bench, tmp_path, few)
    bench.beat()
    digests = [inventory(bench, text).digest for text in (few, many)]
    eventually(lambda: fleet.digests() == [digests[0]] * WORKERS, "each worker tells what it has")
    # The producer is the first to know of a new node, and the last to hear that one is gone.
    begun = fleet.begin_while_changing(many, old=few, new=many)
    begun += fleet.begin_while_changing(many, old=many, new=few)
    assert len(begun) == 2 * EACH_WAY
    ends = ended(bench, begun)
    assert {each.state for each in ends} == {State.COMMITTED}, {each.reason for each in ends}
    groups = {each.group for each in ends}
    assert all(groups <= set(bench.admin.groups(node)) for node in bench.cluster.nodes)
    said = "".join(worker.output() for worker in fleet.workers)
    assert "host node4 is not known here" in said
    assert "its steps go to other workers" in said
    for file in fleet.files:
        put(file, many)
    eventually(lambda: fleet.digests() == [digests[1]] * WORKERS, "each worker tells what it has now")


def test_creates_go_on_while_a_node_moves(bench: Bench, tmp_path: Path) -> None:
    now = Path(bench.settings.inventory).read_text()
    url = bench.cluster.nodes["node4"]
    before = now.replace(url, url.replace("127.0.0.1", "127.0.0.2"))  # where nobody listens
    assert before != now
    fleet = Fleet(bench, tmp_path, before)
    bench.beat()
    begun = fleet.begin_while_changing(now, old=before, new=now)
    ends = ended(bench, begun)
    assert {each.state for each in ends} == {State.COMMITTED}, {each.reason for each in ends}


@pytest.mark.parametrize("bench", [TENTH], indirect=True)
def test_creates_wait_for_workers_that_are_all_behind_the_producer(bench: Bench, tmp_path: Path) -> None:
    """All times are a tenth of a case that was measured: all workers 60 s behind, as real kubelets can be.

    There a host was given up after five misses, here within a second of its 6 s; and it is unknown for twice
    as long as a host that gives no answer has patience.
    """
    many = Path(bench.settings.inventory).read_text()
    fleet = Fleet(bench, tmp_path, without_last(many))
    bench.beat()
    begun: list[OperationId] = []
    began = bench.store.now()

    def is_over() -> bool:
        begun.extend(fleet.creates(1))
        return len(begun) >= BEHIND and bench.store.now() >= began + 1000 * LAG

    eventually(is_over, "the lag is over", latest=0.3)
    assert {bench.read(each).decision for each in begun} == {None}, "no worker knows node4 yet"
    for file in fleet.files:
        put(file, many)
    begun += fleet.creates(1)
    ends = ended(bench, begun)
    assert {each.state for each in ends} == {State.COMMITTED}, {each.reason for each in ends}
    assert {each.group for each in ends} <= set(bench.admin.groups("node4"))
    said = "".join(worker.output() for worker in fleet.workers)
    assert "host node4 is not known here" in said
