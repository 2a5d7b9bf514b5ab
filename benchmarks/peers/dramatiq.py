# mypy: disallow-untyped-decorators=False
"""dramatiq: a group of messages on Redis, worked on by threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from dramatiq.results import Results  # type: ignore[import-not-found]
from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]

from benchmarks.peers import blocking
from benchmarks.peers.peer import PATIENCE, Command, Peer, Place, redis_url

PROCESSES = 2
THREADS = 32

broker = RedisBroker(url=redis_url())
broker.add_middleware(Results(backend=RedisBackend(url=redis_url()), store_results=True))
dramatiq.set_broker(broker)


def workers(place: Place) -> tuple[Command]:
    """Two processes of 32 threads each."""
    options = ["--processes", str(PROCESSES), "--threads", str(THREADS)]
    command = [sys.executable, "-m", "dramatiq", "benchmarks.peers.dramatiq", *options]
    return (Command("worker", command, place, "Worker process is ready", PROCESSES),)


PEER = Peer(
    title=f"dramatiq group, {PROCESSES} x {THREADS} threads",
    http="requests.Session",
    keeps="messages: what was not acknowledged is delivered again",
    workers=workers,
)


@dramatiq.actor
def create(url: str, group: str) -> bool:
    """Create the group on one host."""
    return blocking.create(blocking.session(), url, group)


@dramatiq.actor
def undo(url: str, group: str) -> bool:
    """Delete it again."""
    return blocking.undo(blocking.session(), url, group)


class Producer:
    """Runs a group and collects its results."""

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Enqueue the group."""
        return group, hosts, dramatiq.group([create.message(host, group) for host in hosts]).run()

    def finish(self, job: Any) -> bool:
        """Collect the results, and undo what was done where one failed."""
        group, hosts, sent = job
        said = self._results(sent)
        if all(said):
            return True
        done = [host for host, created in zip(hosts, said, strict=True) if created]
        self._results(dramatiq.group([undo.message(host, group) for host in done]).run())
        return False

    def close(self) -> None:
        """Close every connection."""
        broker.close()

    def _results(self, sent: Any) -> list[bool]:
        return list(sent.get_results(block=True, timeout=round(1000 * PATIENCE)))


def open_producer() -> Producer:
    """Use the broker of this module."""
    return Producer()
