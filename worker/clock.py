"""Real time and chance."""

from __future__ import annotations

import random
import secrets
import time

from lockstep.worker.operation.model import AttemptId

_SUSPENSION_COUNTS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC does the same."""


class SystemClock:
    """The Clock of real workers."""

    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""
        return time.clock_gettime(_SUSPENSION_COUNTS)

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""
        return AttemptId(secrets.token_hex(8))
