"""A stack of which each process has a wall clock of its own; one for all tests of a test process."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lockstep.mock_api.admin import Json
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.ports import LOOPBACK, accepts, free_port
from lockstep.worker.operation.model import Action, GroupId, OperationId, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
from tests.wrong_clock import WrongClock, library, sweep_up

WORKERS = ("operations", "rollback")
PROCESSES = ("producer", "beat", *WORKERS, "flower")
KINDS = {"retries": State.COMMITTED, "killed": State.COMMITTED, "rollback": State.ROLLED_BACK}
"""Operations by what befalls them, and how each has to end."""
Do = Callable[[], None]


class Cluster:
    """Lockstep's processes, each as if on a machine of its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.clocks = {name: WrongClock(bench.directory / f"{name}.clock") for name in PROCESSES}
        self._children: dict[str, Child] = {"beat": bench.beat(env=self.clocks["beat"].env)}
        self._metrics_port = free_port()
        metrics = {"operations": {"LOCKSTEP_METRICS_PORT": str(self._metrics_port)}}
        for name in WORKERS:
            env = {**self.clocks[name].env, **metrics.get(name, {})}
            self._children[name] = bench.worker(name, queues=name, env=env, wait=False)
        for name in WORKERS:
            self._wait_ready(name)
        self._count = 0
        self.usual: dict[str, float] = {}
        """Seconds that each kind of operation takes while all clocks are right."""
        self.measure()

    def measure(self) -> None:
        """Take the usual times with all clocks right, or those of before if they were longer."""
        for clock in self.clocks.values():
            clock.set(0)
        now = self.run()
        self.usual = {kind: max(now[kind], self.usual.get(kind, 0.0)) for kind in KINDS}

    def restart(self, name: str) -> None:
        """Start a process anew, with its clock as it is set now; a producer is started for every command."""
        if name == "producer":
            return
        if name == "flower" and name not in self._children:
            self._flower_port = free_port()
            where = [f"--address={LOOPBACK}", f"--port={self._flower_port}"]
            env = {**self.clocks[name].env, "FLOWER_UNAUTHENTICATED_API": "true"}
            self._children[name] = self.bench.child(
                name, ["-m", "lockstep.worker.monitoring.flower", *where], env
            )
        else:
            self._children[name].stop()
            self._children[name].launch()
        self._wait_ready(name)

    def _wait_ready(self, name: str) -> None:
        child = self._children[name]
        ready = {
            "beat": lambda: " is starting." in child.output(),
            "flower": lambda: accepts(self._flower_port),
        }.get(name, lambda: " ready." in child.output())
        eventually(ready, f"{name} is ready")

    def run(self, by_command: bool = False, midway: Do = lambda: None) -> dict[str, float]:
        """Create a group in each of the ways, with `midway` done while it runs; return the seconds of each.

        Of the one whose worker is killed they are counted from when that has started again.
        """
        together = self._run(("retries", "rollback"), by_command, midway)
        return together | self._run(("killed",), by_command, midway)

    def _run(self, kinds: Sequence[str], by_command: bool, midway: Do) -> dict[str, float]:
        self._count += 1
        bench, seconds = self.bench, {}
        groups = {kind: GroupId(f"{bench.group}-{kind}-{self._count}") for kind in kinds}
        faults = [{**fault, "group": groups[kind]} for kind in kinds for fault in FAULTS[kind]]
        bench.admin.set_faults(*faults)
        began = time.monotonic()
        left = {kind: self._start(group, by_command) for kind, group in groups.items()}
        eventually(
            lambda: all(self._midway(kind, group) for kind, group in groups.items()), f"{kinds} are under way"
        )
        midway()
        if "killed" in kinds:
            self._children["operations"].kill()
            self._children["operations"].launch()
            self._wait_ready("operations")
            began = time.monotonic()
        while left:
            eventually(
                lambda: any(bench.read(each).ended for each in left.values()), f"{left} end", latest=0.1
            )
            for kind, operation in list(left.items()):
                end = bench.read(operation)
                if end.ended:
                    seconds[kind] = time.monotonic() - began
                    assert end.state is KINDS[kind]
                    expected = set(bench.hosts) if end.state is State.COMMITTED else set()
                    assert bench.holding(groups[kind]) == expected
                    del left[kind]
        return seconds

    def _start(self, group: GroupId, by_command: bool) -> OperationId:
        if not by_command:
            return self.bench.start(Action.CREATE, group)
        operation = OperationId(f"{group}-id")
        command = ["-m", "lockstep", "create", group, "--id", operation]
        self.bench.child("producer", command, self.clocks["producer"].env)
        return operation

    def wait_by_command(self, midway: Do = lambda: None) -> float:
        """Have the producer create a group, and wait; return the seconds that it took: a node is slow.

        `midway` is done while it waits. The command has a time-out, which is longer than all of this takes.
        """
        self._count += 1
        group = GroupId(f"{self.bench.group}-waits-{self._count}")
        self.bench.admin.set_faults(*({**fault, "group": group} for fault in FAULTS["retries"]))
        began = time.monotonic()
        command = ["-m", "lockstep", "create", group, "--timeout", "300"]
        child = self.bench.child("waiting", command, self.clocks["producer"].env)
        eventually(lambda: self._midway("retries", group), "it is under way")
        midway()
        eventually(lambda: not child.running, "the command ends")
        took = time.monotonic() - began
        assert child.fate == "ended with status 0", child.output()
        assert self.bench.holding(group) == set(self.bench.hosts)
        return took

    def _midway(self, kind: str, group: GroupId) -> bool:
        """A first call has failed, or is held back."""
        methods = [entry.method for entry in self.bench.history(group=group)]
        return ("DELETE" if kind == "rollback" else "POST") in methods

    def doctor(self) -> str:
        """What `lockstep doctor` says on the producer's machine."""
        child = self.bench.child("doctor", ["-m", "lockstep", "doctor"], self.clocks["producer"].env)
        eventually(lambda: not child.running, "doctor has looked at everything")
        return child.output()

    def metrics(self) -> str:
        """What the worker for operations says of itself and of all others."""
        with urllib.request.urlopen(
            f"http://{LOOPBACK}:{self._metrics_port}/metrics", timeout=PATIENCE
        ) as answer:
            return str(answer.read(), "utf-8")

    def shown_online(self) -> set[str]:
        """The workers that Flower shows as online."""
        url = f"http://{LOOPBACK}:{self._flower_port}/api/workers?status=true"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            told: dict[str, bool] = json.load(answer)
        return {worker.partition("@")[0] for worker, online in told.items() if online}


FAULTS: dict[str, list[dict[str, Json]]] = {
    # Each lasts for long enough after its middle that a jump falls into it.
    "retries": [
        {"kind": "hang_before", "node": "node3", "methods": ["POST"], "times": 2},
        {"kind": "error_after", "node": "node1", "methods": ["POST"], "times": 1},
        {"kind": "error_before", "node": "node2", "methods": ["POST"], "times": 2},
    ],
    "killed": [{"kind": "hang_after", "node": "node2", "methods": ["POST"], "times": 1}],
    "rollback": [
        # The others are changed before it refuses.
        {"kind": "hang_before", "node": "node3", "methods": ["GET"], "times": 1},
        {"kind": "refuse", "node": "node3", "methods": ["POST"]},
        {"kind": "hang_before", "node": "node1", "methods": ["DELETE"], "times": 1},
        {"kind": "error_before", "node": "node1", "methods": ["DELETE"], "times": 2},
        {"kind": "error_after", "node": "node2", "methods": ["DELETE"], "times": 1},
    ],
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if library() is None:
        pytest.skip("libfaketime is not installed (Debian: apt-get install faketime)")
    folder: Path = tmp_path_factory.mktemp("clocks")
    with parts(folder) as found:
        bench = Bench(*found, folder / "bench")
        try:
            yield Cluster(bench)
        finally:
            bench.close()
            sweep_up()
