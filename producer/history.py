"""Which operations of the past are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

from lockstep.worker.operation.model import Action, Millis, Operation, OperationId
from lockstep.worker.operation.states import State

FIRST_PAGE = 100
PAGE = 1000
"""Operations looked at in one round trip: few for a common match, more for a rare one."""


class Brief(NamedTuple):
    """What of an operation a filter looks at, as it is kept."""

    id: OperationId
    group: str
    created_by: str
    action: str
    state: str
    created_at: int


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

    def matches(self, operation: Brief | Operation) -> bool:
        """Tell whether an operation is asked for."""
        return (
            (self.group is None or fnmatchcase(operation.group, self.group))
            and (self.by is None or fnmatchcase(operation.created_by, self.by))
            and (self.action is None or operation.action == self.action)
            and (not self.states or operation.state in self.states)
            and (self.since is None or operation.created_at >= self.since)
            and (self.until is None or operation.created_at < self.until)
        )


class Record(Protocol):
    """What a search reads from."""

    def briefs(self, wanted: Filter, limit: int, offset: int) -> Sequence[Brief]:
        """Read operations accepted between `since` and `until`, newest first."""
        ...

    def readable(self, operation: OperationId) -> Operation | None:
        """Read all of an operation; None if it is gone, or of a newer version."""
        ...


def search(record: Record, wanted: Filter, limit: int) -> Iterator[Operation]:
    """Yield at most `limit` operations that match, newest first; only these are read as a whole.

    One that is accepted meanwhile moves the others on by a place: none is told twice.
    """
    told: set[str] = set()
    offset, size = 0, FIRST_PAGE
    while page := record.briefs(wanted, size, offset):
        for brief in page:
            if brief.id in told or not wanted.matches(brief):
                continue
            operation = record.readable(brief.id)
            if operation is not None and wanted.matches(operation):
                told.add(brief.id)
                yield operation
                if len(told) == limit:
                    return
        offset, size = offset + size, PAGE
