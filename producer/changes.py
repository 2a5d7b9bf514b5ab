"""The changes of one operation, for threads and for asyncio alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from lockstep.worker.operation.model import Operation


class Changes:
    """The operation as it stands, and then after each change: for `for` and for `async for`.

    Each iteration begins anew with the operation as it then stands.
    """

    def __init__(
        self, plain: Callable[[], Iterator[Operation]], awaited: Callable[[], AsyncIterator[Operation]]
    ) -> None:
        self._plain = plain
        self._awaited = awaited

    def __iter__(self) -> Iterator[Operation]:
        """Block the thread until the next change."""
        return self._plain()

    def __aiter__(self) -> AsyncIterator[Operation]:
        """Never block the event loop."""
        return self._awaited()
