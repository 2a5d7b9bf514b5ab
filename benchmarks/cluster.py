"""The mock cluster, seen from whoever measures: its behaviour is set, its state is read."""

from __future__ import annotations

import json
import resource
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.addresses import urls
from lockstep.producer.stack import Child, Guard, StackError
from lockstep.producer.stack.ports import LOOPBACK, free_port

DESCRIPTORS = 10_000
"""For the connections of clients that keep one for every host of the largest race."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls take, in seconds."""

    name: str
    usual: float = 0.0
    slow: float = 0.0
    slow_percent: int = 0


NONE = Latency("0 ms")
STEADY = Latency("20 ms", 0.02)
TAIL = Latency("20 ms, 5 % at 500 ms", 0.02, 0.5, 5)


@dataclass(frozen=True, slots=True)
class State:
    """What the hosts hold, and what was done since the last reset; times by the machine's monotonic clock."""

    held: int
    """Groups on hosts, summed."""
    holding: int
    """Hosts that hold anything."""
    calls: int
    created: int
    deleted: int
    refused_at: float | None
    last_undone_at: float | None


class MockNodes(Child):
    """So many hosts in one process. Raises StackError when this system cannot serve so many."""

    def __init__(self, directory: Path, hosts: int, guard: Guard) -> None:
        _allow_descriptors(DESCRIPTORS)
        self._control = free_port()
        port = free_port()
        self.urls = urls(hosts, port)
        command = [sys.executable, "-m", "benchmarks.nodes", str(hosts), str(port), str(self._control)]
        super().__init__("nodes", command, directory=directory, guard=guard)
        self._connection: socket.socket | None = None

    def ready(self) -> bool:
        """Tell whether it listens everywhere."""
        return "ready" in self.output()

    def reset(self, latency: Latency, refusing: int | None = None, busy: int = 0) -> None:
        """Empty every host; `refusing` answers POST with 403, and all do so many writes with 503 at first."""
        self._ask(
            do="reset",
            latency=latency.usual,
            slow=latency.slow,
            slow_percent=latency.slow_percent,
            refusing=refusing,
            busy=busy,
        )

    def state(self) -> State:
        """Read what there is."""
        return State(**self._ask(do="tell"))

    def _ask(self, **order: Any) -> dict[str, Any]:
        if self._connection is None:
            self._connection = socket.create_connection((LOOPBACK, self._control), timeout=10)
        self._connection.sendall(json.dumps(order).encode())
        said = b""
        while not said.endswith(b"\n"):
            part = self._connection.recv(65_536)
            if not part:
                raise StackError(f"nodes {self.fate}: {self.output()[-500:]}")
            said += part
        answer: dict[str, Any] = json.loads(said)
        return answer


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise StackError(
            f"the mock cluster needs {wanted} open files, and this system allows {hard} (ulimit -Hn): "
            "raise that limit, or use --quick"
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
