"""What a run of the benchmark has at hand: the mock cluster, a directory, a guard over every process."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import MockNodes
from benchmarks.figures import Figures
from benchmarks.peers.peer import Http
from benchmarks.session import Session
from lockstep.producer.stack import Guard


@dataclass(frozen=True, slots=True)
class Bench:
    """Opens sessions, and keeps what they measure."""

    directory: Path
    guard: Guard
    nodes: MockNodes
    figures: Figures
    quick: bool

    @property
    def repeats(self) -> int:
        """How often each thing is measured."""
        return 2 if self.quick else 5

    def session(
        self,
        peer: str,
        hosts: int,
        *,
        http: Http = Http.OWN,
        away: int | None = None,
        env: Mapping[str, str] | None = None,
        with_workers: bool = True,
    ) -> Session:
        """Describe a session of a candidate with so many hosts, to be entered."""
        return Session(
            peer,
            self.nodes,
            hosts,
            guard=self.guard,
            directory=self.directory,
            http=http,
            away=away,
            env=env,
            with_workers=with_workers,
        )

    def say(self, line: str) -> None:
        """Tell how far it is."""
        print(line, flush=True)


@contextlib.contextmanager
def bench(hosts: int, *, quick: bool) -> Iterator[Bench]:
    """Start the mock cluster; when the block is left, however that is, no process and no file remains."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        guard = Guard([directory])
        try:
            nodes = MockNodes(directory, hosts, guard)
            nodes.start()
            yield Bench(directory, guard, nodes, Figures(), quick)
        finally:
            guard.close()
