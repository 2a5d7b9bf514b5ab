"""What the record is asked, and what it answers to a transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lockstep.worker.operation.model import (
    Action,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Outcome,
    Stage,
    Step,
)
from lockstep.worker.operation.thing import ThingRequest
from lockstep.worker.operation.waves import Rollout


class Accepted(StrEnum):
    ACCEPTED = "accepted"
    EXISTING = "existing"
    """The same id with the same payload: nothing was written."""
    STALE = "stale"
    """Of a repair: another operation has ended since the drift was seen; nothing was written."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another operation holds the group's lock; nothing was written."""

    owner: OperationId


@dataclass(frozen=True, slots=True)
class Request:
    id: OperationId
    group: GroupId
    action: Action
    hosts: tuple[HostRef, ...]
    deadline: int
    """Milliseconds from now."""
    created_by: str
    retries: int | None = None
    """Tries beyond the first before a host is given up; None bounds them by time alone."""
    repairs: Mapping[HostName, str] = field(default_factory=dict)
    """For a repair: what the ends of these hosts must still say (see `lockstep.worker.record.ends`)."""
    owner: str = ""
    """Whose the id is: nobody else is answered with this operation. Empty: anybody who repeats it is."""
    rollout: Rollout | None = None
    """None: all hosts at once."""
    content: ThingRequest | None = None
    """None: the presence of a group."""


class Miss(StrEnum):
    """What a GET that told nothing says about its host."""

    ANSWERED = "answered"
    """It answered, for instance 500: the deadline alone bounds how often it is asked."""
    UNUSABLE = "unusable"
    """No answer at all, or none that can be read: the host is given up after `host_patience` of these."""
    UNASKED = "unasked"
    """Nothing: this worker does not know the host as the record does. It is not counted."""


class Forward(StrEnum):
    """What a transition before a write, or after one, says is to be done next."""

    OVER = "over"
    """Unknown, ended or decided: write nothing."""
    NOT_OPEN = "not_open"
    """The host's wave has not begun: write nothing; the opening of the wave sends for the host."""
    ELSEWHERE = "elsewhere"
    """The record knows this host under another URL: write nothing."""
    DONE = "done"
    FAILED = "failed"
    SEND = "send"
    BUSY = "busy"
    """It waits for its turn: its host has a limit of writes at once, or a second."""
    OPEN = "open"
    """Nothing is settled: try again."""
    MISSED = "missed"
    RESTORED = "restored"
    SETTLE = "settle"
    """Attempts are open: look again."""
    PERSON = "person"
    """It shows what is neither ours nor what was before: only a person can say what is to become of it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer of such a transition."""

    next: Forward
    outcome: Outcome | None = None
    reason: str | None = None
    misses: int = 0
    """The looks in a row that told nothing."""
    fingerprint: str | None = None
    """ELSEWHERE: of the host's URL in the record."""
    left: int = field(default=0, compare=False)
    """OPEN or MISSED: milliseconds to the deadline. BUSY: until its turn; 0 if it is sent for."""
    step: Step | None = field(default=None, compare=False)
    """DONE: what the record has of the host by now."""
    again_at: Millis | None = None
    """SETTLE: when to look again; None for at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operation is about, which its messages do not say."""

    group: GroupId
    action: Action
    hosts: frozenset[HostName]
    """All that take part."""
    content: ThingRequest | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One step after the decision, and the store's clock at that moment."""

    decision: Decision | None
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
    """What the caller who claimed it is to publish of an operation."""

    phase: Phase
    group: GroupId
    action: Action
    hosts: tuple[HostName, ...] = ()
    number: int = 0
    """Of the wave or of the gate's round; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    number: int
    wave: int
    """The wave at work: it runs on."""
    stage: Stage


class Refusal(StrEnum):
    UNKNOWN = "unknown"
    NO_WAVES = "no_waves"
    COMMITTED = "commit"
    ROLLING_BACK = "roll_back"
    FREE = "free"
    """Nobody holds it."""
    ALREADY = "already"
    """That hold was released before."""
    OTHER = "other"
    """Another hold than that is on it, or none."""
    UNDECIDED = "undecided"
    NOT_PENDING = "not_pending"
    """On the host nothing is left to restore or settle, or nothing that a person must decide about."""
