# mypy: disallow-untyped-decorators=False
"""A Celery chord as most people write it: prefork, `requests.post`, default settings, no record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery, chord

from benchmarks.peers import blocking
from benchmarks.peers.peer import PATIENCE, Command, Peer, Place, redis_url

CHILDREN = 8
Said = list[tuple[str, bool]]
app = Celery("stock", broker=redis_url(), backend=redis_url())


def workers(place: Place) -> tuple[Command]:
    """One worker with eight children."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.stock", "worker", "-c", str(CHILDREN)]
    return (Command("worker", [*command, "-l", "INFO"], place, " ready."),)


PEER = Peer(
    title=f"stock Celery chord, prefork {CHILDREN}",
    http="requests, bare",
    keeps="nothing: its messages are acknowledged before they are worked on",
    workers=workers,
)


@app.task
def create(url: str, group: str) -> tuple[str, bool]:
    """Create the group on one host."""
    return url, blocking.create(blocking.bare_or_session(), url, group)


@app.task
def undo(url: str, group: str) -> bool:
    """Delete it again."""
    return blocking.undo(blocking.bare_or_session(), url, group)


@app.task
def conclude(said: Said, group: str) -> str | None:
    """Begin the rollback if a host refused; return the id of its result."""
    if all(created for _, created in said):
        return None
    done = [undo.s(url, group) for url, created in said if created]
    return str(chord(done)(undone.s()).id)


@app.task
def undone(said: list[bool]) -> bool:
    """Tell whether all was undone."""
    return all(said)


class Stock:
    """Asks for a chord and waits for its result."""

    def publish(self, group: str, hosts: Sequence[str]) -> Any:
        """Send the chord."""
        return chord([create.s(url, group) for url in hosts])(conclude.s(group))

    def finish(self, job: Any) -> bool:
        """Wait for the callback, and for the rollback if there is one.

        A plain `get()` reads every header's result again whenever one arrives: 90 commands a host at 200
        hosts, and more the more there are. Without `propagate` it does not, which does the chord a favour.
        """
        rollback = job.get(timeout=PATIENCE, propagate=False)
        if rollback is None:
            return True
        app.AsyncResult(rollback).get(timeout=PATIENCE)
        return False

    def close(self) -> None:
        """Close every connection."""
        app.close()


def open_producer() -> Stock:
    """Use the application of this module."""
    return Stock()
