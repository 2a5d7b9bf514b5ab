"""Redis servers that are more than the one of the stack: with TLS, users, replicas and Sentinels."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.producer.stack.processes import RedisServer, find_server
from tests.integration.redis_servers.certificates import Authority, Signed
from tests.waits import eventually


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

    def freeze(self) -> None:
        """Keep it from running; connections to it stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it from running until the end of the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()


MASTER = "lockstep"
"""What Sentinels call the primary."""
STRICT = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
"""What docs/operations.md asks for."""


class SentinelServer(Child):
    """One of three Sentinels that watch over a primary; two must agree that it is gone."""

    def __init__(self, directory: Path, guard: Guard, primary: RedisServer) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        file = directory / "sentinel.conf"
        file.write_text(
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"dir {directory}\n"
            f"sentinel monitor {MASTER} {LOOPBACK} {primary.port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 2500\n"
            f"sentinel failover-timeout {MASTER} 5000\n"
            f"sentinel parallel-syncs {MASTER} 2\n"
        )
        command = [str(find_server()), str(file), "--sentinel"]
        super().__init__("sentinel", command, directory=directory, guard=guard)

    def ready(self) -> bool:
        """Tell whether it answers."""
        return bool(self.sees())

    def sees(self) -> dict[str, str]:
        """What it knows of the primary; empty while it does not answer."""
        with contextlib.suppress(redis.RedisError), self._client() as client:
            said = client.execute_command("SENTINEL", "MASTER", MASTER)
            return {str(key): str(value) for key, value in said.items()}
        return {}

    def complete(self) -> bool:
        """Tell whether it knows two replicas and both other Sentinels."""
        seen = self.sees()
        return (seen.get("num-slaves"), seen.get("num-other-sentinels")) == ("2", "2")

    def _client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, decode_responses=True, socket_timeout=2)


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary with two replicas, and the three Sentinels that watch over it."""

    servers: dict[str, Replicated]
    """Port -> server."""
    sentinels: list[SentinelServer]

    @classmethod
    def start(cls, directory: Path, guard: Guard, more: Sequence[str] = STRICT) -> Self:
        """Start servers in sync, and Sentinels that know all of each other."""
        primary = Replicated(directory / "first", guard, more=more)
        primary.start()
        replicas = [Replicated(directory / name, guard, primary, more) for name in ("second", "third")]
        for replica in replicas:
            replica.start()
        for replica in replicas:
            eventually(replica.in_sync, "the replicas are in sync")
        sentinels = [SentinelServer(directory / f"sentinel{n}", guard, primary) for n in range(3)]
        for sentinel in sentinels:
            sentinel.start()
        for sentinel in sentinels:
            eventually(sentinel.complete, "the Sentinels know the replicas and each other")
        return cls({str(each.port): each for each in (primary, *replicas)}, sentinels)

    def url(self, login: str = "") -> str:
        """What LOCKSTEP_REDIS_URL is; `login` ends with an @."""
        hosts = ",".join(f"{LOOPBACK}:{each.port}" for each in self.sentinels)
        return f"sentinel://{login}{hosts}/0?master={MASTER}"

    def primary(self) -> Replicated:
        """The server that most Sentinels take for the primary."""
        ports = [each.sees().get("port", "") for each in self.sentinels]
        return self.servers[max(ports, key=ports.count)]


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
