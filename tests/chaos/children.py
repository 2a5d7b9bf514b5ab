"""The processes of a run that no other stack has: single nodes, the proxy, supervised workers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lockstep.mock_api.admin import ClusterAdmin
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, accepts, free_port

PYTHON = sys.executable


class Node(Child):
    """One mock node in a process of its own; its ports, groups and history outlive `kill -9`."""

    def __init__(self, name: str, seed: int, directory: Path, guard: Guard, env: Mapping[str, str]) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.history = directory / f"history-{name}.jsonl"
        self.admin = ClusterAdmin(f"http://{LOOPBACK}:{self.admin_port}", timeout=30)
        ports = ["--port", str(self.port), "--admin-port", str(self.admin_port), "--seed", str(seed)]
        files = ["--state", str(directory / f"state-{name}.json"), "--history", str(self.history)]
        kind = ["--kind", str(directory / "kinds" / "card.yaml")]
        command = [PYTHON, "-m", "lockstep.mock_api", "--node", name, *ports, *files, *kind]
        super().__init__(name, command, directory=directory, guard=guard, env=env)

    def ready(self) -> bool:
        """Tell whether it has said so."""
        return '{"ready"' in self.output()


class Proxy(Child):
    """The proxy between the workers and Redis."""

    def __init__(self, redis_port: int, directory: Path, guard: Guard, env: Mapping[str, str]) -> None:
        self.port, self._control = free_port(), free_port()
        program = str(Path(__file__).with_name("proxy.py"))
        command = [PYTHON, program, str(self.port), str(self._control), str(redis_port)]
        super().__init__("proxy", command, directory=directory, guard=guard, env=env)

    def ready(self) -> bool:
        """Tell whether both its ports are open."""
        return accepts(self.port) and "ready" in self.output()

    def order(self, what: str, **more: object) -> dict[str, int]:
        """Have it do something; return how often it has done what so far."""
        with socket.create_connection((LOOPBACK, self._control), timeout=10) as sock:
            sock.sendall(json.dumps({"do": what, **more}).encode() + b"\n")
            with sock.makefile() as answer:
                counts: dict[str, int] = json.loads(answer.readline())
        return counts


class Worker(Child):
    """A Celery worker for both queues."""

    def __init__(
        self,
        name: str,
        pool: str,
        directory: Path,
        guard: Guard,
        env: Mapping[str, str],
        within: Sequence[str] = (),
        celery: Sequence[str] = ("-m", "celery", "-A", "lockstep"),
    ) -> None:
        """Run it by the command `within`, which is to become its own; `celery` is that of its release."""
        quick = ["--without-gossip", "--without-mingle", "-l", "INFO"]
        command = [PYTHON, *celery, "worker", "-Q", "operations,rollback"]
        processes = ["-P", "prefork", "-c", "4"] if pool == "prefork" else []
        super().__init__(
            name,
            [*within, *command, "-n", f"{name}@%h", *quick, *processes],
            directory=directory,
            guard=guard,
            env=env,
            grace=20,
        )

    def ready(self) -> bool:
        """Tell whether it takes messages."""
        return " ready." in self.output()

    def signal_all(self, number: int) -> None:
        """Signal the worker and its pool's processes."""
        os.killpg(self.pid, number)

    def pool(self) -> list[int]:
        """Return the ids of its pool's processes."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        return [int(line) for line in found.stdout.split()]


class Beat(Child):
    """Beat, which sends the sweep."""

    def __init__(self, directory: Path, guard: Guard, env: Mapping[str, str]) -> None:
        command = [PYTHON, "-m", "celery", "-A", "lockstep", "beat"]
        super().__init__("beat", command, directory=directory, guard=guard, env=env)


class Producers(Child):
    """Forks a client per order, which may be told to die at a point of it."""

    def __init__(self, directory: Path, guard: Guard, env: Mapping[str, str]) -> None:
        self.port = free_port()
        command = [PYTHON, "-m", "tests.chaos.producers", str(self.port)]
        super().__init__("producers", command, directory=directory, guard=guard, env=env)

    def ready(self) -> bool:
        """Tell whether it takes orders."""
        return "ready" in self.output()

    def order(self, what: Mapping[str, object]) -> dict[str, object]:
        """Have a new client carry the order out; empty when it died of it."""
        with socket.create_connection((LOOPBACK, self.port), timeout=900) as sock:
            sock.sendall(json.dumps(what).encode() + b"\n")
            with sock.makefile() as answer:
                line = answer.readline()
        said: dict[str, object] = json.loads(line) if line else {}
        return said
