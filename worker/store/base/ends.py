"""The Ends protocol: what outlives operations, for the patrol and for people who look for drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from lockstep.worker.operation.drift import Drift, End, Forgotten
from lockstep.worker.operation.model import Action, GroupId, HostName, Lost, Millis, OperationId, Presence


class Ends(Protocol):
    """What the patrol, and people who look for drift, need of a store."""

    def now(self) -> Millis:
        """Return the store's time."""
        ...

    def ends(self, group: GroupId) -> dict[HostName, End]:
        """Return what the last ended operations left of a group, per host that they covered."""
        ...

    def groups_with_ends(self) -> Iterator[GroupId]:
        """Yield every group of which an operation has ended; in no order, each once."""
        ...

    def forget_group(self, group: GroupId, before: Millis, *, dry_run: bool = False) -> Forgotten | None:
        """Forget a group that all its hosts were without before a moment; None if it is kept.

        It is kept while an operation works on it, a write of unknown fate is watched for, or a host drifts.
        With `dry_run` nothing is dropped.
        """
        ...

    def forget_deleted(self, older_than: int) -> int:
        """Look at some groups more, and forget those that were deleted longer ago than so many ms."""
        ...

    def lock_owner(self, group: GroupId) -> OperationId | None:
        """Return the operation that works on the group just now."""
        ...

    def patrol_due(self, limit: int) -> tuple[GroupId, ...]:
        """Return groups that the patrol is to look at, the longest overdue first."""
        ...

    def suspicions(self, group: GroupId) -> dict[tuple[HostName, Presence], Millis]:
        """Return when writes of unknown fate, which would bring this presence to a host, were given up."""
        ...

    def patrol_again(self, group: GroupId, at: Millis | None, newest: Millis) -> None:
        """Look at the group again then; None takes it off the list, with its suspicions up to `newest`.

        What became suspect after `newest`, the latest that the caller has read, is looked at at once.
        """
        ...

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        """Record the drift of these hosts (None: none any more); return what was not known yet.

        Returns None, and records nothing, if an operation works on the group, or has ended since `ends` was
        read: what a host showed in between is no drift.
        """
        ...

    def drifts(self) -> list[Drift]:
        """Return the drift that the patrol found and that has not gone since."""
        ...

    def note_lost(self, operation: OperationId, group: GroupId, action: Action | None = None) -> Lost | None:
        """Keep for a week that the record of an accepted operation is gone; None if retention dropped it."""
        ...

    def lost(self) -> dict[OperationId, Lost]:
        """Return the operations whose record is gone."""
        ...
