"""Which operations of the past are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from worker.operation.model import Action, Millis, Operation
from worker.operation.states import State

PAGE = 200
"""Records read at once."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What an operation must be; everything that is set must hold."""

    group: str | None = None
    """A pattern: `team-*`."""
    by: str | None = None
    """A pattern for who asked: `alice@*`."""
    action: Action | None = None
    states: frozenset[State] = frozenset()
    """One of these; empty for any."""
    since: Millis | None = None
    until: Millis | None = None

    def matches(self, operation: Operation) -> bool:
        """Tell whether an operation is asked for."""
        return (
            (self.group is None or fnmatchcase(operation.group, self.group))
            and (self.by is None or fnmatchcase(operation.created_by, self.by))
            and (self.action is None or operation.action is self.action)
            and (not self.states or operation.state in self.states)
            and (self.since is None or operation.created_at >= self.since)
            and (self.until is None or operation.created_at < self.until)
        )


def search(
    read: Callable[[int, int], tuple[Operation, ...]], wanted: Filter, limit: int
) -> Iterator[Operation]:
    """Yield at most `limit` operations that match, newest first.

    `read(limit, offset)` gives operations, newest first; no more is read than is needed. One that is
    accepted meanwhile moves the others on by a place: none is told twice.
    """
    told: set[str] = set()
    offset = 0
    while page := read(PAGE, offset):
        for operation in page:
            if wanted.since is not None and operation.created_at < wanted.since:
                return
            if operation.id not in told and wanted.matches(operation):
                told.add(operation.id)
                yield operation
                if len(told) == limit:
                    return
        offset += PAGE
