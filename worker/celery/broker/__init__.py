"""Celery's Redis transport at half the commands, so that a task for each host can be had for up to 50 hosts.

That is the one reason for it: a task per host is what people see in Flower; and each round trip waits for the
disk. kombu makes three for a message, one after the other, on the only event loop of a worker: it takes the
message, notes it as unacknowledged, and acknowledges it. Here a script takes several messages and notes them,
and what was acknowledged in one turn of the loop leaves together. What is kept in Redis is as kombu has it.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any, Literal

from celery.signals import celeryd_after_setup

TESTED = frozenset({"5.7.0"})
"""Releases of kombu whose inner parts these are tested with."""
log = logging.getLogger(__name__)


def install(wanted: Literal["own", "stock"]) -> bool:
    """Let every connection of this process to the broker use it; for workers, whose process is ours.

    False, and a line in the log, if kombu's own is wanted, or if this is a kombu that it was not tested with.
    """
    from lockstep.worker.celery.broker.links import QoS, register

    if wanted == "own" and version("kombu") in TESTED:
        register("lockstep.worker.celery.broker.transport")
        return True
    QoS.gives_back = True
    why = "LOCKSTEP_BROKER=stock" if wanted == "stock" else f"not tested with kombu {version('kombu')}"

    def tell(**_: Any) -> None:
        log.warning("messages are taken by kombu's own transport (%s): one at a time, and slower", why)

    celeryd_after_setup.connect(tell, weak=False, dispatch_uid="lockstep-broker")  # the log is set up by then
    return False
