"""The heartbeat of a worker: it says whether the process works, never whether Redis does."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from worker.telemetry.signs import EVERY, Signs

log = logging.getLogger(__name__)
STUCK = 60.0
"""Seconds for which the loop that takes messages may stand still. One call to a frozen Redis takes 5 s."""


class Heart:
    """Beats in a thread of its own, unless the loop that takes messages is stuck.

    The loop's own timer would not do: without Redis there is no loop, only the wait for a connection.
    """

    def __init__(self, signs: Signs) -> None:
        """Prepare the directory; signs that an earlier worker left are removed."""
        self._signs = signs
        self._looped: float | None = None
        self._stopped = threading.Event()
        self._beats = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        Path(signs.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove()

    def looping(self) -> None:
        """Note that the loop has come round."""
        self._looped = time.monotonic()

    def not_looping(self) -> None:
        """Note that there is no loop: the worker waits for Redis, starts or stops."""
        self._looped = None

    def beat(self) -> bool:
        """Touch the file; return False, and leave it to grow old, when the loop is stuck."""
        looped = self._looped
        if looped is not None and time.monotonic() - looped > STUCK:
            return False
        self._signs.beat()
        return True

    def start(self) -> None:
        """Beat until the process ends."""
        self._beats.start()

    def ready(self, **_: Any) -> None:
        """Show that the worker takes tasks."""
        Path(self._signs.ready).touch()

    def stopping(self, **_: Any) -> None:
        """Show that it takes no more; it still beats, for it ends what it does."""
        Path(self._signs.ready).unlink(missing_ok=True)

    def end(self, **_: Any) -> None:
        """Leave nothing behind."""
        self._stopped.set()
        if self._beats.is_alive():
            self._beats.join(EVERY)  # a beat under way would bring the file back
        self._remove()

    def _run(self) -> None:
        while True:
            try:
                self.beat()
            except OSError as error:  # a full disk: the probe will tell, and the next beat may succeed
                log.warning("no heartbeat in %s: %s", self._signs.directory, error.strerror)
            if self._stopped.wait(EVERY):
                return

    def _remove(self) -> None:
        for path in (self._signs.live, self._signs.ready):
            Path(path).unlink(missing_ok=True)


def install(app: Celery, directory: str) -> Heart:
    """Give the worker that is about to be built from `app` a heart."""
    heart = Heart(Signs(directory))

    class Loop(bootsteps.StartStopStep):
        """Tells the heart whether the loop goes round."""

        requires = ("celery.worker.consumer:Tasks",)

        def __init__(self, parent: Any, **options: Any) -> None:
            self._timer: Any = None
            super().__init__(parent, **options)

        def start(self, parent: Any) -> None:
            heart.looping()
            self._timer = parent.timer.call_repeatedly(EVERY, heart.looping)

        def stop(self, parent: Any) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            heart.not_looping()

    app.steps["consumer"].add(Loop)
    worker_ready.connect(heart.ready, weak=False)
    worker_shutting_down.connect(heart.stopping, weak=False)
    worker_shutdown.connect(heart.end, weak=False)
    heart.start()
    return heart
