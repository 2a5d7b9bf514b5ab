"""A candidate at work: its own Redis, workers and producer, for a few cases."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.addresses import inventory
from benchmarks.cluster import MockNodes, State
from benchmarks.peers import peer
from benchmarks.peers.peer import HTTP, INVENTORY, PATIENCE, REDIS_URL, Http, Place
from benchmarks.processes import cpu_seconds, forget_peaks, members, peak_mb
from benchmarks.samples import Case, Sample, Work
from benchmarks.server import CaseRedis
from lockstep.producer.stack import Child, Guard, StackError
from lockstep.producer.stack.ports import LOOPBACK, free_port

QUIET = 0.2
"""Seconds after a run in which what it left undone still counts as its CPU: acknowledgements, mostly."""
WARM_HOSTS = 20
_numbers = count()


class WrongOutcome(Exception):
    """A run did not leave the hosts as it should have."""


class Distance(Child):
    """The proxy that makes Redis be far away."""

    def ready(self) -> bool:
        """Tell whether it listens."""
        return "ready" in self.output()


class Session:
    """Enter it to start everything; nothing of it is left when it is left."""

    def __init__(
        self,
        name: str,
        nodes: MockNodes,
        hosts: int,
        *,
        guard: Guard,
        directory: Path,
        http: Http = Http.OWN,
        away: int | None = None,
        env: Mapping[str, str] | None = None,
        with_workers: bool = True,
    ) -> None:
        """Describe the session of a candidate that knows the first so many hosts."""
        self.name, self.peer = name, peer(name)
        self.directory = directory / f"{name}-{next(_numbers)}"
        self.redis: CaseRedis | None = None
        self.workers: list[Child] = []
        self.started_in = 0.0
        """Seconds that the workers took to be ready."""
        self._nodes, self._hosts, self._guard = nodes, hosts, guard
        self._http, self._away, self._env, self._with_workers = http, away, dict(env or {}), with_workers
        self._proxy: Child | None = None
        self._where: Place | None = None
        self._driver: Child | None = None
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm_up(self) -> None:
        """Do a small job that does not count: imports, connections, scripts."""
        self.run(Case(min(WARM_HOSTS, self._hosts)))

    def run(self, case: Case) -> Sample:
        """Run a case once and see that it came out right. Raises WrongOutcome where that must not be."""
        last = case.hosts - 1
        self._nodes.reset(case.latency, last if case.work is Work.ROLLBACK else None, case.attempts - 1)
        if self.redis:
            self.redis.configure()
        pids = self.pids()
        forget_peaks(pid for group in pids.values() for pid in group)
        load = os.getloadavg()[0]
        commands, written = (self.redis.commands(), self.redis.written()) if self.redis else (0, 0)
        cpu = {group: cpu_seconds(of) for group, of in pids.items()}
        said = self.ask(do="job", group=f"g{next(_numbers)}", hosts=case.hosts)
        time.sleep(QUIET)
        used = {group: cpu_seconds(of) - cpu[group] for group, of in pids.items()}
        state = self._nodes.state()
        undoing = None
        if state.refused_at is not None and state.last_undone_at is not None:
            undoing = state.last_undone_at - state.refused_at
        wrong = wrong_outcome(case, state, committed=said["committed"])
        if wrong and not self.peer.may_be_wrong:
            raise WrongOutcome(f"{self.peer.title}, {case}: {wrong}")
        return Sample(
            peer=self.name,
            case=case,
            seconds=said["seconds"],
            published=said["published"],
            cpu_producer=used["producer"],
            cpu_workers=used["workers"],
            cpu_redis=used["redis"],
            commands=self.redis.commands() - commands - 2 if self.redis else 0,
            written=self.redis.written() - written if self.redis else 0,
            producer_mb=peak_mb(pids["producer"]),
            workers_mb=peak_mb(pids["workers"]),
            undone=state.deleted,
            undoing=undoing,
            load=load,
            wrong=wrong,
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        """Have the producer do something. Raises StackError when it cannot."""
        assert self._connection is not None
        self._connection.sendall(json.dumps(order).encode() + b"\n")
        said = b""
        while not said.endswith(b"\n"):
            part = self._connection.recv(65_536)
            if not part:
                raise StackError(f"the producer of {self.peer.title} ended: {self._output()}")
            said += part
        answer: dict[str, Any] = json.loads(said)
        if "error" in answer:
            raise StackError(f"{self.peer.title}: {order}: {answer['error']}\n{self._output()}")
        return answer

    def pids(self) -> dict[str, list[int]]:
        """Return the session's processes, by what they are."""
        assert self._driver is not None
        return {
            "producer": members([self._driver.pid]),
            "workers": members(worker.pid for worker in self.workers),
            "redis": [self.redis.server.pid] if self.redis else [],
        }

    def close(self) -> None:
        """Stop everything and remove its files."""
        if self._connection is not None:
            self._connection.close()
        for child in self.workers:
            child.terminate()
        server = self.redis.server if self.redis else None
        stopped: tuple[Child | None, ...] = (*self.workers, self._driver, self._proxy, server)
        for each in stopped:
            if each is not None:
                each.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def described_workers(self) -> list[Child]:
        """Return this candidate's workers, not started; whoever starts them stops them."""
        assert self._where is not None
        return list(self.peer.workers(self._where))

    def _start(self) -> None:
        self.directory.mkdir()
        place = self._where = self._place()
        if self._with_workers:
            self.workers = self.described_workers()
        begun = time.monotonic()
        for worker in self.workers:
            worker.launch()
        self._driver = self._described_driver(place)
        self._driver.launch()
        for worker in self.workers:
            worker.wait_ready()
        self.started_in = time.monotonic() - begun
        self._connection = self._connected(self._driver)

    def _place(self) -> Place:
        env = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
        files = self.directory / "inventory.yaml", self.directory / "hosts.json"
        hosts = self._nodes.urls[: self._hosts]
        files[0].write_text(inventory(hosts))
        files[1].write_text(json.dumps(hosts))
        if self.peer.redis:
            self.redis = CaseRedis(self.directory, self._guard, self.peer.durability)
            self.redis.start()
            env[REDIS_URL] = self.redis.server.url if self._away is None else self._far(self._away)
        env |= {INVENTORY: str(files[0]), HTTP: self._http, "PYTHONDONTWRITEBYTECODE": "1"}
        place = Place(self.directory, self._guard, env)
        return Place(self.directory, self._guard, {**env, **self.peer.settings(place), **self._env})

    def _far(self, away: int) -> str:
        """Start a proxy before Redis; return the URL that leads through it."""
        assert self.redis is not None
        port = free_port()
        numbers = [str(each) for each in (port, self.redis.server.port, away)]
        command = [sys.executable, "-m", "benchmarks.distance", *numbers]
        self._proxy = Distance("distance", command, directory=self.directory, guard=self._guard)
        self._proxy.start()
        return f"redis://{LOOPBACK}:{port}/0"

    def _described_driver(self, place: Place) -> Child:
        arguments = [self.name, str(self.directory / "driver"), str(self.directory / "hosts.json")]
        command = [sys.executable, "-m", "benchmarks.driver", *arguments]
        return Child("producer", command, directory=self.directory, guard=place.guard, env=place.env)

    def _connected(self, driver: Child) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE + 10)
        deadline = time.monotonic() + 30
        while True:
            try:
                connection.connect(str(self.directory / "driver"))
            except OSError as error:
                if not driver.running or time.monotonic() > deadline:
                    raise StackError(f"the producer does not answer: {self._output()}") from error
                time.sleep(0.02)
            else:
                return connection

    def _output(self) -> str:
        children = (self._driver, *self.workers)
        return "\n".join(f"{child.name}: {child.output()[-1500:]}" for child in children if child)


def wrong_outcome(case: Case, state: State, *, committed: bool) -> str | None:
    """Return what is wrong with how a run left the hosts and what it told its caller, or None."""
    if case.work is Work.ROLLBACK:
        if committed:
            return "told to be committed, though a host refused"
        if state.refused_at is None:
            return "the host that refuses was never asked"
        if state.holding:
            return f"{state.holding} hosts were left with the group"
        return None
    if not committed:
        return "told to be rolled back, though every host agreed"
    if state.holding != case.hosts or state.held != case.hosts:
        return f"{state.holding} of {case.hosts} hosts hold the group, {state.held} groups in all"
    if state.created != case.hosts or state.deleted:
        return f"{state.created} creations and {state.deleted} deletions for {case.hosts} hosts"
    return None
