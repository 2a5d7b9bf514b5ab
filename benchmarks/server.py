"""A session's own Redis: the binary that the stack uses, configured for the candidate, and its counts."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import cast

import redis

from lockstep.producer.stack import Guard, RedisServer, StackError

MONITORED = re.compile(r"^\S+ \[\d+ (\S+)\]")


class Durability(StrEnum):
    """What a Redis keeps when it is killed."""

    NOTHING = "no AOF"
    EVERYSEC = "AOF everysec"
    ALWAYS = "AOF always"

    @property
    def config(self) -> dict[str, str]:
        """The settings of the server that make it so; snapshots are off for all."""
        return {
            "appendonly": "no" if self is Durability.NOTHING else "yes",
            "appendfsync": "always" if self is Durability.ALWAYS else "everysec",
            "save": "",
            "auto-aof-rewrite-percentage": "0",
        }


class CaseRedis:
    """A server that is configured anew before every case."""

    def __init__(self, directory: Path, guard: Guard, durability: Durability) -> None:
        self.durability = durability
        options = [part for name, value in durability.config.items() for part in (f"--{name}", value)]
        self.server = RedisServer(directory, guard=guard, options=options)
        self.client: redis.Redis

    def start(self) -> None:
        """Start it and connect."""
        self.server.start()
        self.client = redis.Redis.from_url(self.server.url, decode_responses=True)

    @property
    def version(self) -> str:
        """What server it is."""
        info = self._info("server")
        name = "Valkey" if "valkey_version" in info else "Redis"
        return f"{name} {info.get('valkey_version', info.get('redis_version'))}"

    def configure(self) -> None:
        """Set what the candidate is to have, and see that it is so. Raises StackError."""
        for name, value in self.durability.config.items():
            self.client.config_set(name, value)
            said = cast(dict[str, str], self.client.config_get(name))[name]
            if said != value:
                raise StackError(f"Redis has {name} {said!r} instead of {value!r}")

    def commands(self) -> int:
        """Return how many commands it has run, those that scripts call included."""
        return int(str(self._info("stats")["total_commands_processed"]))

    def written(self) -> int:
        """Return the bytes of its append-only file, which it never rewrites here; 0 where it has none."""
        return int(str(self._info("persistence").get("aof_current_size", 0)))

    @contextlib.contextmanager
    def monitored(self) -> Iterator[Counter[str]]:
        """Count, until the block ends, what clients send and what scripts call; slows the server down."""
        counts: Counter[str] = Counter()
        with self.client.monitor() as monitor:  # type: ignore[no-untyped-call]
            thread = Thread(target=_count, args=(monitor.connection, counts), daemon=True)
            thread.start()
            yield counts
            self.client.echo(END)
            thread.join(10)

    def _info(self, section: str) -> dict[str, object]:
        return cast(dict[str, object], self.client.info(section))


END = "lockstep-bench-end"


def _count(connection: redis.Connection, counts: Counter[str]) -> None:
    while True:
        line = cast(str, connection.read_response())
        if END in line:
            return
        match = MONITORED.match(line)
        if match:
            counts["script" if match[1] == "lua" else "client"] += 1
