"""Redis servers that are more than the one of the stack: with TLS, users, replicas and Sentinels."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import redis

from producer.stack.child import LOOPBACK
from producer.stack.guard import Guard
from producer.stack.redis_server import RedisServer
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

    def ready(self) -> bool:
        """Tell whether it answers PING."""
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

    def __init__(self, directory: Path, guard: Guard, primary: RedisServer | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        options = ["--repl-diskless-sync-delay", "0", "--repl-timeout", "5"]
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
