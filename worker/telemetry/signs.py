"""Where a worker shows that it lives and is ready, and how that is read.

It imports next to nothing, for a probe runs every few seconds and its imports are what it costs.
"""

from __future__ import annotations

import os
import time

VARIABLE = "LOCKSTEP_HEARTBEAT_DIR"
EVERY = 5.0
"""Seconds between two beats."""
STALE = 30.0
"""Seconds after which a heartbeat is a dead one's; six beats, for a busy machine is late now and then."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""One for all processes of a machine, which nobody sets; the file's time is by it, not since 1970."""


class Signs:
    """The two files of one worker."""

    def __init__(self, directory: str = "") -> None:
        """Name them; without a directory they are in one of this user's, which one worker alone can have."""
        temporary = os.environ.get("TMPDIR") or "/tmp"
        self.directory = directory or f"{temporary}/lockstep-worker-{os.getuid()}"
        self.live = f"{self.directory}/live"
        """Touched at every beat."""
        self.ready = f"{self.directory}/ready"
        """There from the moment when the worker takes tasks to the one when it is told to stop."""

    def beat(self) -> None:
        """Show that the worker lives at this moment."""
        with open(self.live, "ab"):  # noqa: PTH123
            now = time.clock_gettime_ns(CLOCK)
            os.utime(self.live, ns=(now, now))

    def trouble(self, sign: str) -> str | None:
        """Say why the worker is not `live` or not `ready`; None when it is."""
        try:
            age = time.clock_gettime(CLOCK) - os.stat(self.live).st_mtime  # noqa: PTH116
        except OSError as error:
            return f"no heartbeat in {self.live}: {error.strerror}"
        # One from the future is from before the machine was started.
        if abs(age) > STALE:
            return f"the heartbeat in {self.live} is {age:.0f} s old; {STALE:g} s are allowed"
        if sign == "ready" and not os.path.exists(self.ready):  # noqa: PTH110
            return f"there is no {self.ready}: the worker is starting or stopping"
        return None
