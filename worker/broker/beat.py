"""Beat's schedule by this process's own monotonic clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from celery import beat as untyped

celery: Any = untyped


class Scheduler(celery.Scheduler):  # type: ignore[misc]
    """Sends each task once per period, the first time at once.

    Celery's own goes by the wall clock, and keeps its times in a file: set back by ten minutes, it would send
    nothing for ten minutes. Here nothing is kept, for whoever runs twice as often does no harm.

    A file named by its full path (`--schedule /tmp/beat`) is touched at every turn: probes see beat at work.
    """

    schedule: dict[str, Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._due: dict[str, float] = {}
        named = Path(options.get("schedule_filename") or "")
        self._sign = named if named.is_absolute() else None
        super().__init__(*arguments, **options)

    def tick(self, **_: Any) -> float:
        """Send what is due; return the seconds until the next is."""
        if self._sign is not None:
            self._sign.touch()
        for name, entry in self.schedule.items():
            if time.monotonic() >= self._due.get(name, 0.0):
                self._due[name] = time.monotonic() + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
        soonest: float = min(self._due.values()) - time.monotonic()
        return max(0.0, soonest)
