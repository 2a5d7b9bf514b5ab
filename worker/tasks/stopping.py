"""Whether this worker has been told to stop: seen by every thread, and by prefork's children too."""

from __future__ import annotations

import mmap
import time
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_flag = mmap.mmap(-1, 1)
"""Anonymous shared memory: children inherit it, and SIGTERM reaches only their parent."""


def stopping() -> bool:
    """Tell whether the worker has been told to stop."""
    return _flag[0] != 0


def rest(seconds: float) -> None:
    """Wait for so long, or until the worker is told to stop."""
    ends = time.monotonic() + seconds
    while not stopping() and (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


@worker_init.connect
def _starting(**_: Any) -> None:
    _flag[0] = 0


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _flag[0] = 1
