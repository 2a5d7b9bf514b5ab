"""What is other than Celery's in its pool of processes, and in beat, its schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import beat
from celery.concurrency import asynpool, prefork


class Results(asynpool.ResultHandler):
    """Goes on with a result that was half read when the connection to the broker was lost.

    Celery's event loop forgets that it began, and would take the rest for another result: the worker ends.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun: dict[int, tuple[Any, Any]] = {}

    def _recv_message(self, add_reader: Any, fd: int, callback: Any, **options: Any) -> Any:
        of = self.fileno_to_outq.get(fd)
        process, reading = self._begun.get(fd, (None, None))
        if reading is None or reading.gi_frame is None or process is not of:
            reading = super()._recv_message(add_reader, fd, callback, **options)
            self._begun[fd] = of, reading
        return reading


class Processes(prefork.TaskPool):
    """Celery's pool of processes, which reads their results to the end."""

    __module__ = prefork.__name__  # for the banner, as above

    class Pool(asynpool.AsynPool):
        ResultHandler = Results


class Scheduler(beat.Scheduler):
    """Beat's schedule by this process's own monotonic clock: sends each task once per period, at once first.

    Celery's own goes by the wall clock, and keeps its times in a file: set back by ten minutes, it would send
    nothing for ten minutes. Here nothing is kept, for running twice as often does no harm.
    """

    schedule: dict[str, Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._due: dict[str, float] = {}
        self.going: Callable[[], object] = lambda: None
        """Called whenever it gets further, at every vain try to reach Redis too."""
        self.come_round: Callable[[], object] = lambda: None
        """Called when all that was due has been sent, or was tried."""
        super().__init__(*arguments, **options)

    def tick(self, **_: Any) -> float:
        """Send what is due; return the seconds until the next is."""
        self.going()
        for name, entry in self.schedule.items():
            if time.monotonic() >= self._due.get(name, 0.0):
                self._due[name] = time.monotonic() + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
                self.going()
        self.come_round()
        return min(self._due.values()) - time.monotonic()

    def _ensure_connected(self) -> Any:
        def failed(error: Exception, seconds: float) -> None:
            beat.error("beat: Connection error: %s. Trying again in %s seconds...", error, seconds)
            self.going()

        return self.connection.ensure_connection(failed, self.app.conf.broker_connection_max_retries)
