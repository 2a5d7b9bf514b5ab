"""Drift: a host that differs from what the last ended operation that covered its group left there."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence


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
