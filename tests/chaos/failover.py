"""A primary, two replicas and three Sentinels in place of one Redis, and how a primary is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import RLock

import redis

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK
from tests.chaos import journal
from tests.integration.redis_servers.servers import STRICT, Replicated, Watched
from tests.waits import eventually

USER = "chaos"
"""Who we are to Redis. Sentinels and replicas have no name, and can be kept out by themselves."""
ALL_JOURNALS = ("--aof-disable-auto-gc", "yes")
"""A replica that has to be sent everything begins a new file, and keeps those from before."""
OPTIONS = (
    *STRICT,
    *journal.ONE_JOURNAL,
    *ALL_JOURNALS,
    *("--user", USER, "on", "nopass", "~*", "&*", "+@all"),
)
MARK = "chaos:mark"
ALL, WITHIN = 2, 2000
"""Replicas that are to have a mark, and within how many ms."""
RECOVERY = 90.0
"""Seconds until Sentinels have made all servers follow the new primary; a busy machine takes its time."""


class Failovers:
    """The servers, and each way to lose the primary. Whatever is done, another server is primary afterwards.

    Between two losses all servers are given a mark. What was run between two marks is read from a server that
    followed whoever was primary, all the way, or was that itself: what only a lost primary ran, nobody kept.
    """

    def __init__(self, directory: Path, guard: Guard) -> None:
        self._watched = Watched.start(directory, guard, OPTIONS)
        self._marks: list[str] = []
        self._mark()

    @property
    def children(self) -> Sequence[Child]:
        """Every process."""
        return [*self._watched.servers.values(), *self._watched.sentinels]

    @property
    def url(self) -> str:
        """What LOCKSTEP_REDIS_URL is."""
        return self._watched.url(f"{USER}:any@")

    def nemeses(
        self, lock: RLock, dice: random.Random, pause: Callable[[], object]
    ) -> Mapping[str, Callable[[], str]]:
        """Return what can be done; `lock` is held while a process is stopped or started."""

        def kill(old: Replicated) -> None:
            with lock:
                old.kill()

        def start(old: Replicated) -> None:
            with lock:
                old.start(RECOVERY)

        def sentinel_killed() -> str:
            chosen = dice.choice(self._watched.sentinels)
            with lock:
                chosen.kill()
            pause()
            with lock:
                chosen.start(RECOVERY)
            return str(chosen.port)

        return {
            "primary killed": lambda: self._lose(kill, start),
            "primary frozen": lambda: self._lose(Replicated.freeze, Replicated.thaw),
            "primary cut off from Sentinels": lambda: self._lose(self._keep_out, self._let_in),
            "Sentinel killed": sentinel_killed,
        }

    def commands(self) -> Iterator[list[str]]:
        """Yield every command that lasted, in its order. Raises LookupError where no server has them all."""
        self._mark()
        servers = self._watched.servers.values()
        files = [list(journal.parsed(file)) for each in servers for file in journal.files(each.directory)]
        for first, last in pairwise(self._marks):
            found = next(filter(None, (between(file, first, last) for file in files)), None)
            if found is None:
                raise LookupError(f"no server kept all that was run between the marks {first} and {last}")
            yield from found

    def _lose(self, begin: Callable[[Replicated], None], end: Callable[[Replicated], None]) -> str:
        old = self._watched.primary()
        begin(old)
        try:
            eventually(lambda: self._watched.primary() is not old, "another server is primary", RECOVERY)
        finally:
            end(old)
        self._mark()
        return f"{old.port}, then {self._watched.primary().port}"

    def _keep_out(self, old: Replicated) -> None:
        """Have Sentinels not reach the primary; we do, and its replicas until they are told otherwise."""
        with self._client(old) as client:
            client.execute_command("ACL", "SETUSER", "default", "off")
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "USER", "default")

    def _let_in(self, old: Replicated) -> None:
        with self._client(old) as client:
            client.execute_command("ACL", "SETUSER", "default", "on")

    def _mark(self) -> None:
        """Wait until all replicas follow the primary, and give all servers a mark.

        The first may reach a replica with everything that it is sent; the second is in its file.
        """
        mark = str(len(self._marks))

        def marked() -> bool:
            with suppress(redis.RedisError, OSError), self._client(self._watched.primary()) as client:
                return all(client.set(MARK, mark) and client.wait(ALL, WITHIN) >= ALL for _ in range(2))
            return False

        eventually(marked, "all servers follow the primary", RECOVERY)
        self._marks.append(mark)

    @staticmethod
    def _client(server: Replicated) -> redis.Redis:
        return redis.Redis(LOOPBACK, server.port, username=USER, password="any", socket_timeout=WITHIN / 500)


def between(file: Sequence[list[str]], first: str, last: str) -> Sequence[list[str]] | None:
    """Return what is between two marks, the last try of each; None where one of them is missing."""
    places = {command[2]: place for place, command in enumerate(file) if command[:2] == ["SET", MARK]}
    if first not in places or last not in places:
        return None
    return file[places[first] : places[last] + 1]
