"""What is shown while waiting: a moving line on a terminal, a line per change elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from lockstep.producer.cli.output import note, printable
from lockstep.worker.operation.model import Operation
from lockstep.worker.operation.states import State

if TYPE_CHECKING:
    from rich.status import Status

LINE_EVERY = 1.0
"""Seconds between plain lines while the state stays the same."""
SILENT = "Redis does not answer; waiting for it to come back"


class Progress(Protocol):
    """Told of each change of the operation that is waited for; None means that Redis does not answer."""

    def __call__(self, status: Operation | None) -> None: ...


def showing(quiet: bool) -> AbstractContextManager[Progress]:
    """Return the display that fits stderr, as a context; `quiet` shows nothing."""
    if quiet:
        return nullcontext(_ignore)
    if sys.stderr.isatty():
        return Spinner()
    return nullcontext(Lines())


def describe(status: Operation | None) -> str:
    """Return where an operation stands, in a few words."""
    if status is None:
        return SILENT
    count = f"{status.hosts_done} of {status.hosts_total} hosts done"
    if status.state is State.ROLLING_BACK:
        count = f"{len(status.pending_hosts)} of {status.hosts_total} hosts to restore"
    return f"{status.action} {status.group}: {status.state}, {count} (operation {status.id})"


def _ignore(status: Operation | None) -> None:
    pass


class Lines:
    """A line when the state changes, and at most one a second while hosts come in."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._next = 0.0

    def __call__(self, status: Operation | None) -> None:
        """Print a line if it is time for one."""
        state = status.state if status else None
        if state is None or state is not self._state or time.monotonic() >= self._next:
            note(describe(status))
            self._next = time.monotonic() + LINE_EVERY
        self._state = state


class Spinner:
    """One line that moves."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def __enter__(self) -> Spinner:
        from rich.console import Console

        self._status = Console(stderr=True, highlight=False).status("waiting")
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, status: Operation | None) -> None:
        """Change the line."""
        from rich.text import Text

        if self._status is not None:
            self._status.update(Text(printable(describe(status))))
