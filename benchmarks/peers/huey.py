# mypy: disallow-untyped-decorators=False
"""huey: tasks in a Redis list, worked on by threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from huey import RedisHuey  # type: ignore[import-not-found]

from benchmarks.peers import blocking
from benchmarks.peers.peer import PATIENCE, Command, Peer, Place, redis_url

PROCESSES = 2
THREADS = 32

huey = RedisHuey("bench", url=redis_url())


def workers(place: Place) -> tuple[Command, ...]:
    """Two consumers of 32 threads each."""
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.peers.huey.huey"]
    options = ["-w", str(THREADS), "-k", "thread"]
    return tuple(
        Command(f"worker{number}", [*command, *options], place, "commands") for number in range(PROCESSES)
    )


PEER = Peer(
    title=f"huey, {PROCESSES} x {THREADS} threads",
    http="requests.Session",
    keeps="nothing: a message is gone once it is taken",
    workers=workers,
)


@huey.task()
def create(url: str, group: str) -> bool:
    """Create the group on one host."""
    return blocking.create(blocking.session(), url, group)


@huey.task()
def undo(url: str, group: str) -> bool:
    """Delete it again."""
    return blocking.undo(blocking.session(), url, group)


class Producer:
    """Enqueues a task per host and collects the results."""

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Enqueue all tasks."""
        return group, hosts, [create(host, group) for host in hosts]

    def finish(self, job: Any) -> bool:
        """Collect the results, and undo what was done where one failed."""
        group, hosts, sent = job
        said = self._results(sent)
        if all(said):
            return True
        done = [host for host, created in zip(hosts, said, strict=True) if created]
        self._results([undo(host, group) for host in done])
        return False

    def close(self) -> None:
        """Connections close with the process."""

    def _results(self, sent: Any) -> list[bool]:
        # By default it looks again after 0.1 s, then ever more rarely.
        return [each.get(blocking=True, timeout=PATIENCE, backoff=1, max_delay=0.02) for each in sent]


def open_producer() -> Producer:
    """Use the queue of this module."""
    return Producer()
