"""What a waiting caller has been told so far, and whether the wait is over."""

from __future__ import annotations

from collections.abc import Callable

from lockstep.worker.operation import model

OnChange = Callable[[model.Operation | None], None]
"""Called with every change while waiting, and with None when Redis stops answering."""
Done = Callable[[model.Operation], bool]


class Waiting:
    """One wait."""

    def __init__(self, done: Done, on_change: OnChange | None) -> None:
        self._done = done
        self._on_change = on_change
        self.last: model.Operation | None = None
        self.silent = False

    def is_over(self, status: model.Operation | None) -> bool:
        """Tell the caller what is new; return True if this is what it waits for."""
        new = not self.silent if status is None else self.silent or status != self.last
        if new and self._on_change is not None:
            self._on_change(status)
        self.silent = status is None
        self.last = status or self.last
        return status is not None and self._done(status)
