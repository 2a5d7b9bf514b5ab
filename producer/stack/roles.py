"""The Celery processes of a stack: three workers, beat and Flower."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from lockstep.producer.stack.child import LOOPBACK, Child, accepts, free_port
from lockstep.producer.stack.guard import Guard

FLOWER_PORT = 5555


class Role(StrEnum):
    """The processes of a stack, in the order in which they start."""

    REDIS = "redis"
    CLUSTER = "cluster"
    OPERATIONS = "operations"
    OPERATIONS_2 = "operations-2"
    """A Python process computes on one core at a time."""
    ROLLBACK = "rollback"
    BEAT = "beat"
    FLOWER = "flower"


class CeleryChild(Child):
    """A `celery -A lockstep` command; ready once it has written a certain sign."""

    def __init__(
        self,
        role: Role,
        arguments: Sequence[str],
        sign: str,
        *,
        directory: Path,
        guard: Guard,
        env: Mapping[str, str],
    ) -> None:
        """Describe a command. Its output is the cheapest sign: a remote control ping costs 0.6 s of CPU."""
        command = [sys.executable, "-m", "celery", "-A", "lockstep", *arguments]
        super().__init__(role, command, directory=directory, guard=guard, env=env)
        self._sign = sign

    def ready(self) -> bool:
        """Tell whether its sign is in what it has written."""
        return self._sign in self.output()


class Flower(Child):
    """The web page of tasks and workers, on port 5555 or, if that is taken, on a free one."""

    def __init__(self, *, directory: Path, guard: Guard, env: Mapping[str, str], port: int = 0) -> None:
        """Describe it; port 0 is the usual one if that is free."""
        self.port = port or free_port(FLOWER_PORT)
        address = [f"--address={LOOPBACK}", f"--port={self.port}"]
        command = [sys.executable, "-m", "lockstep.worker.telemetry.flower", *address]
        super().__init__(Role.FLOWER, command, directory=directory, guard=guard, env=env)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        """Tell whether it accepts connections."""
        return accepts(self.port)


def worker(role: Role, *, directory: Path, guard: Guard, env: Mapping[str, str]) -> CeleryChild:
    """Describe a worker of the role's queue; its pool and size are settings."""
    queue = role.removesuffix("-2")
    arguments = ["worker", "-Q", queue, "-n", f"{role}@%h", "--loglevel", "INFO"]
    # Workers need not know of each other: 2 s sooner at the start, and less traffic.
    quick = ["--without-gossip", "--without-mingle"]
    env = {**env, "LOCKSTEP_HEARTBEAT_DIR": str(directory / f"{role}.heartbeat")}
    return CeleryChild(role, [*arguments, *quick], " ready.", directory=directory, guard=guard, env=env)


def beat(*, directory: Path, guard: Guard, env: Mapping[str, str]) -> CeleryChild:
    """Describe beat, which sends the sweep."""
    arguments = ["beat", "--schedule", str(directory / "beat"), "--loglevel", "INFO"]
    return CeleryChild(Role.BEAT, arguments, "beat: Starting", directory=directory, guard=guard, env=env)
