"""What the record answers to a transition, and what it keeps of the end of each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from lockstep.worker.operation.drift import Drift, End, Forgotten
from lockstep.worker.operation.model import (
    Action,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Lost,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Stage,
    Step,
)
from lockstep.worker.operation.waves import Rollout


class Accepted(StrEnum):
    """What became of a new operation."""

    ACCEPTED = "accepted"
    EXISTING = "existing"
    """The same id with the same payload: nothing was written."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another operation holds the group's lock; nothing was written."""

    owner: OperationId


@dataclass(frozen=True, slots=True)
class Stale:
    """Another operation has ended since the drift was seen; nothing was written."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a producer asks for."""

    id: OperationId
    group: GroupId
    action: Action
    hosts: tuple[HostRef, ...]
    deadline: int
    """Milliseconds from now."""
    created_by: str
    retries: int | None = None
    """A host is given up after so many tries beyond the first; None bounds them by time alone."""
    repairs: Mapping[HostName, str] = field(default_factory=dict)
    """For a repair: what the ends of these hosts must still say (see `lockstep.worker.record.ends`)."""
    owner: str = ""
    """Whose the id is: nobody else is answered with this operation. Empty: whoever repeats the request is."""
    rollout: Rollout | None = None
    """None: all hosts at once."""


class Miss(StrEnum):
    """What a GET that told nothing says about its host."""

    ANSWERED = "answered"
    """It answered, for instance 500: the deadline alone bounds how often it is asked."""
    UNUSABLE = "unusable"
    """No answer at all, or none that can be read: the host is given up after `host_patience` of these."""
    UNASKED = "unasked"
    """Nothing: this worker does not know the host as the record does. It is not counted."""


class Forward(StrEnum):
    """What a forward transition says is to be done next."""

    ABORTED = "aborted"
    """Unknown, ended or decided: write nothing."""
    NOT_OPEN = "not_open"
    """The host's wave has not begun: write nothing; whoever opens it sends for the host."""
    ELSEWHERE = "elsewhere"
    """The record knows this host under another URL: write nothing."""
    DONE = "done"
    FAILED = "failed"
    SEND = "send"
    OPEN = "open"
    """Nothing is settled: try again."""
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer of a forward transition."""

    next: Forward
    outcome: Outcome | None = None
    reason: str | None = None
    misses: int = 0
    """The probes in a row that told nothing."""
    fingerprint: str | None = None
    """ELSEWHERE: of the host's URL in the record."""
    left: int = field(default=0, compare=False)
    """OPEN or MISSED: milliseconds to the deadline."""
    step: Step | None = field(default=None, compare=False)
    """DONE: what the record has of the host by now."""


class Undoing(StrEnum):
    """What `begin_undo` says is to be done next."""

    ABORTED = "aborted"
    ELSEWHERE = "elsewhere"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Order:
    """What an operation is about, for whoever was sent a message that names it."""

    group: GroupId
    action: Action
    hosts: frozenset[HostName]
    """All that take part."""


@dataclass(frozen=True, slots=True)
class View:
    """One step after the decision, and the store's clock at that moment."""

    decision: Decision | None
    ended: bool
    now: Millis
    step: Step | None
    undo_needed: bool
    action: Action | None
    group: GroupId | None
    decided_at: Millis | None = None
    gating: int | None = None
    """The round of the gate that the host has yet to pass."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settling GET brought; `again_at` is set while attempts are open."""

    restored: bool
    open: int
    again_at: Millis | None


class Phase(StrEnum):
    """What an operation needs next."""

    FORWARD = "forward"
    """Some hosts of open waves have no outcome yet."""
    GATE = "gate"
    """Every host of open waves is to be looked at once more."""
    WAIT = "wait"
    """Nothing: it bakes, or is held."""
    ROLLBACK = "rollback"
    """Some hosts are not known to be as they were before."""
    SETTLE = "settle"
    """Only attempts of unknown fate keep a committed operation from its end."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be published of an operation, by whoever was answered with it."""

    phase: Phase
    group: GroupId
    action: Action
    hosts: tuple[HostName, ...] = ()
    number: int = 0
    """Of the wave or of the gate's round; 0 where there is none."""


class Cancelled(StrEnum):
    """What became of a cancel."""

    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    COMMITTED = "commit"
    ROLLING_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that was put on an operation."""

    number: int
    wave: int
    """The wave at work: it runs on."""
    stage: Stage


class Refused(StrEnum):
    """Why a hold or a promote did nothing."""

    UNKNOWN = "unknown"
    NO_WAVES = "no_waves"
    COMMITTED = "commit"
    ROLLING_BACK = "roll_back"
    FREE = "free"
    """Nobody holds it."""
    ALREADY = "already"
    """That hold was released before."""
    OTHER = "other"
    """Somebody has put a newer hold on it."""


class Abandoned(StrEnum):
    """What became of an abandon."""

    ABANDONED = "abandoned"
    NOT_PENDING = "not_pending"
    UNDECIDED = "undecided"
    UNKNOWN = "unknown"


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
