"""Drift: a host that differs from what the last ended operation that covered its group left there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lockstep.worker.operation.model import Action, GroupId, HostName, Loss, Millis, OperationId, Presence
from lockstep.worker.operation.thing import ThingEnd


@dataclass(frozen=True, slots=True)
class End:
    """What the last ended operation that covered a group and a host left there."""

    presence: Presence
    operation: OperationId
    at: Millis
    fingerprint: str
    """Of the host's URL then: a host of that name with another URL is a stranger."""

    @property
    def text(self) -> str:
        """As it stands in the record; two ends are the same if their texts are."""
        return f"{self.presence} {self.operation} {self.at} {self.fingerprint}"

    def drift(
        self, group: GroupId, host: HostName, shown: Presence, now: Millis, *, explained: bool = False
    ) -> Drift | None:
        """Compare with what a host shows; None if that is as it was left."""
        return None if shown is self.presence else Drift(group, host, self, shown, now, explained)


@dataclass(frozen=True, slots=True)
class Drift:
    group: GroupId
    host: HostName
    end: End
    found: Presence
    seen_at: Millis
    explained: bool = False
    """A recent write of unknown fate would have brought what was found: it landed late."""

    @property
    def remedy(self) -> Action:
        """The action that brings the host back to what the end says."""
        return Action.to(self.end.presence)


@dataclass(frozen=True, slots=True)
class ForgottenGroup:
    """A group that was deleted everywhere, and is no longer remembered."""

    group: GroupId
    hosts: int
    at: Millis
    """When the last operation on it ended."""


@dataclass(frozen=True, slots=True)
class EndsSize:
    """What the last ends of groups take in Redis, as some of them tell; sizes in bytes."""

    groups: int
    size: int
    deleted: int
    """Groups that are nowhere."""
    deleted_size: int
    daily: int
    """Of the groups that were deleted on a day of the last week."""


def explains(suspected_at: Millis | None, now: Millis, repair_window: int) -> bool:
    """Tell whether a write of unknown fate, given up in the last `repair_window` ms, explains drift."""
    return suspected_at is not None and now - suspected_at <= repair_window


def next_patrol(suspected_at: Millis, now: Millis, every: int, longest: int) -> Millis:
    """Return when to look at a group again: often at first, for late writes land soon if at all."""
    age = now - suspected_at
    return Millis(now + min(longest, max(every, age // 4)))


class Ends(Protocol):
    """What the patrol, and people who look for drift, need of a store."""

    def now(self) -> Millis:
        """Return the store's time."""

    def ends(self, group: GroupId) -> dict[HostName, End]:
        """Return what the last ended operations left of a group, per host that they covered."""

    def contents_left(self, group: GroupId) -> dict[HostName, ThingEnd]:
        """Return what the last ended operations on a thing left on each host that they covered."""

    def groups_with_ends(self) -> Iterator[GroupId]:
        """Yield every group of which an operation has ended; in no order, each once."""

    def forget_group(self, group: GroupId, before: Millis, *, dry_run: bool = False) -> ForgottenGroup | None:
        """Forget a group that all its hosts were without before a moment; None if it is kept.

        It is kept while an operation works on it, a write of unknown fate is watched for, or a host drifts.
        With `dry_run` nothing is dropped.
        """

    def forget_deleted(self, older_than: int) -> int:
        """Look at some more groups, and forget those that were deleted over `older_than` ms ago."""

    def lock_owner(self, group: GroupId) -> OperationId | None:
        """Return the operation that works on the group just now."""

    def patrol_due(self, limit: int) -> tuple[GroupId, ...]:
        """Return groups that the patrol is to look at, the longest overdue first."""

    def suspicions(self, group: GroupId) -> dict[tuple[HostName, Presence], Millis]:
        """Return when writes of unknown fate, which would bring this presence to a host, were given up."""

    def patrol_again(self, group: GroupId, at: Millis | None, newest: Millis) -> None:
        """Look at the group again then; None takes it off the list, with its suspicions up to `newest`.

        What became suspect after `newest`, the latest that the caller has read, is looked at at once.
        """

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        """Record the drift of these hosts (None: none any more); return what was not known yet.

        Returns None, and records nothing, if an operation works on the group, or has ended since `ends` was
        read: what a host showed in between is no drift.
        """

    def drifts(self) -> list[Drift]:
        """Return the drift that the patrol found and that has not gone since."""

    def note_lost(self, operation: OperationId, group: GroupId, action: Action | None = None) -> Loss | None:
        """Keep for a week that the record of an accepted operation is gone; None if retention dropped it."""

    def lost(self) -> dict[OperationId, Loss]:
        """Return the operations whose record is gone."""
