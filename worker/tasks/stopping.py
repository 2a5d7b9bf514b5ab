"""Whether this worker has been told to stop: seen by every thread, and by prefork's children too."""

from __future__ import annotations

import mmap
import time
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_shared = [mmap.mmap(-1, 1)]
"""Anonymous shared memory: children inherit it, and SIGTERM reaches only their parent."""


def stopping() -> bool:
    """Tell whether the worker has been told to stop."""
    return _shared[0][0] != 0


def rest(seconds: float) -> None:
    """Wait for so long, or until the worker is told to stop."""
    ends = time.monotonic() + seconds
    while not stopping() and (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


@worker_init.connect
def _starting(**_: Any) -> None:
    # A worker's own: one forked by what had imported this must not stop with another of its kind.
    _shared[0] = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _shared[0][0] = 1
