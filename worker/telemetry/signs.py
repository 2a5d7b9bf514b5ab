"""Where a worker shows that it lives and is ready, and how that is read. Standard library only: probes are quick."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "LOCKSTEP_HEARTBEAT_DIR"
EVERY = 5.0
"""Seconds between two beats."""
STALE = 30.0
"""Seconds after which a heartbeat is a dead one's; six beats, for a busy machine is late now and then."""


@dataclass(frozen=True, slots=True)
class Signs:
    """The two files of one worker."""

    directory: Path

    @classmethod
    def at(cls, directory: str = "") -> Signs:
        """Return the signs in a directory; by default one of this user's, which one worker alone can have."""
        return cls(Path(directory or Path(tempfile.gettempdir()) / f"lockstep-worker-{os.getuid()}"))

    @property
    def live(self) -> Path:
        """Touched at every beat."""
        return self.directory / "live"

    @property
    def ready(self) -> Path:
        """There from the moment when the worker takes tasks to the one when it is told to stop."""
        return self.directory / "ready"

    def trouble(self, sign: str) -> str | None:
        """Say why the worker is not `live` or not `ready`; None when it is."""
        try:
            age = time.time() - self.live.stat().st_mtime
        except OSError as error:
            return f"no heartbeat in {self.live}: {error.strerror}"
        # A clock that was set back must not make a dead worker look alive for as long.
        if abs(age) > STALE:
            return f"the heartbeat in {self.live} is {age:.0f} s old; {STALE:g} s are allowed"
        if sign == "ready" and not self.ready.exists():
            return f"there is no {self.ready}: the worker is starting or stopping"
        return None
