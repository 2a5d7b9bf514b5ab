"""Celery's Redis transport, with fewer round trips: each is a wait for the disk.

kombu makes three for each message, one after the other, on the only event loop of a worker: it takes the
message, notes it as unacknowledged, and acknowledges it. Here a script takes several messages and notes them,
and what was acknowledged in one turn of the loop leaves together. What is kept in Redis is as kombu has it.
"""

from __future__ import annotations


def install() -> None:
    """Let every connection of this process to the broker use it; for workers, whose process is ours."""
    from lockstep.worker.broker.links import register

    register("lockstep.worker.broker.transport")
