"""Redis servers that are more than the one of the stack: with TLS, users, replicas and Sentinels."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.producer.stack.processes import RedisServer, find_server
from tests.integration.redis_servers.certificates import Authority, Signed


class TlsServer(RedisServer):
    """A server that speaks TLS alone, and to none but those whom its authority has signed."""

    def __init__(self, directory: Path, authority: Authority, own: Signed, guard: Guard) -> None:
        self._authority, self._own = authority, own
        super().__init__(directory, guard=guard)

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"rediss://{LOOPBACK}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that is let in."""
        return redis.Redis.from_url(
            self.url,
            ssl_ca_certs=str(self._authority.file),
            ssl_certfile=str(self._own.certificate),
            ssl_keyfile=str(self._own.key),
            ssl_check_hostname=False,  # some servers here bear a wrong name
        )

    def answers(self) -> bool:
        """Tell whether PING is answered."""
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def _arguments(self, directory: Path) -> list[str]:
        program = shutil.which("redis-server") or "redis-server"
        _, *flags = super()._arguments(directory)
        files = {
            "tls-cert-file": self._own.certificate,
            "tls-key-file": self._own.key,
            "tls-ca-cert-file": self._authority.file,
        }
        tls = [part for name, value in files.items() for part in (f"--{name}", str(value))]
        return [program, *flags, "--port", "0", "--tls-port", str(self.port), *tls]


class Replicated(RedisServer):
    """A server whose replicas are in sync as soon as they are there, or that is such a replica itself."""

    def __init__(
        self,
        directory: Path,
        guard: Guard,
        primary: RedisServer | None = None,
        more: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        options = ["--repl-diskless-sync-delay", "0", "--repl-timeout", "5", *more]
        if primary is not None:
            options += ["--replicaof", LOOPBACK, str(primary.port)]
        super().__init__(directory, guard=guard, options=options)

    def client(self) -> redis.Redis:
        """A client of this very server."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def in_sync(self) -> bool:
        """Tell whether this replica follows its primary."""
        with self.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it from running; connections to it stay."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


class SentinelServer(Child):
    """One of three Sentinels that watch over a primary; two must agree that it is gone."""

    def __init__(self, directory: Path, guard: Guard, master: str, primary: RedisServer) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._master = master
        file = directory / "sentinel.conf"
        file.write_text(
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"dir {directory}\n"
            f"sentinel monitor {master} {LOOPBACK} {primary.port} 2\n"
            f"sentinel down-after-milliseconds {master} 2500\n"
            f"sentinel failover-timeout {master} 5000\n"
            f"sentinel parallel-syncs {master} 2\n"
        )
        command = [str(find_server()), str(file), "--sentinel"]
        super().__init__("sentinel", command, directory=directory, guard=guard)

    def ready(self) -> bool:
        """Tell whether it answers."""
        return bool(self.sees())

    def sees(self) -> dict[str, str]:
        """What it knows of the primary; empty while it does not answer."""
        with contextlib.suppress(redis.RedisError), self._client() as client:
            said = client.execute_command("SENTINEL", "MASTER", self._master)
            return {str(key): str(value) for key, value in said.items()}
        return {}

    def complete(self) -> bool:
        """Tell whether it knows two replicas and both other Sentinels."""
        seen = self.sees()
        return (seen.get("num-slaves"), seen.get("num-other-sentinels")) == ("2", "2")

    def _client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, decode_responses=True, socket_timeout=2)


class Guarded(RedisServer):
    """A server that knows users, each with a password after its role, and lets nobody else in."""

    def __init__(self, directory: Path, users: Path) -> None:
        super().__init__(directory, options=["--aclfile", str(users)])

    def ready(self) -> bool:
        """Tell whether it says that it wants to know who asks."""
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1) as sock:
            sock.sendall(b"PING\r\n")
            with sock.makefile("rb") as answer:
                return answer.readline().startswith(b"-NOAUTH")
        return False

    def as_user(self, role: str) -> str:
        """The URL for a role."""
        name = "default" if role == "admin" else f"lockstep-{role}"
        return self.url.replace("//", f"//{name}:{role.upper()}-PASSWORD@")

    def client(self, role: str) -> redis.Redis:
        """A client that is logged in."""
        return redis.Redis.from_url(self.as_user(role), decode_responses=True)
