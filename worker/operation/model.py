"""An operation: its states, and what each host's part in it came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.thing import Trace


class State(StrEnum):
    """Where an operation stands."""

    APPLYING = "applying"
    """Header tasks move it on; the last to succeed, or the first to fail, decides it."""
    COMMITTED = "committed"
    """Every host is as asked. The lock goes with the last open attempt (settle)."""
    ROLLING_BACK = "rolling_back"
    """Rollback tasks move it on; the sweep resumes them for ever."""
    ROLLED_BACK = "rolled_back"
    """Every host is as it was before the operation touched it. An end."""
    ABANDONED = "abandoned"
    """An operator gave up on a host; every other host is as it was. An end."""


OperationId = NewType("OperationId", str)
GroupId = NewType("GroupId", str)
HostName = NewType("HostName", str)
AttemptId = NewType("AttemptId", str)
Millis = NewType("Millis", int)
"""A point in time by the store's clock, in milliseconds since 1970."""


class Presence(StrEnum):
    """Whether a host holds the group; bodies are never compared."""

    ABSENT = "absent"
    PRESENT = "present"


class Action(StrEnum):
    """What an operation does to its group on every host."""

    CREATE = "create"
    DELETE = "delete"

    @classmethod
    def to(cls, presence: Presence) -> Action:
        """Return the action that brings a host there."""
        return cls.CREATE if presence is Presence.PRESENT else cls.DELETE

    @property
    def inverse(self) -> Action:
        """The action that undoes this one."""
        return Action.DELETE if self is Action.CREATE else Action.CREATE

    @property
    def target(self) -> Presence:
        """What every host shows once the action has been done."""
        return Presence.PRESENT if self is Action.CREATE else Presence.ABSENT


class Decision(StrEnum):
    """Made once per operation, by compare-and-set, and never changed."""

    COMMIT = "commit"
    ROLL_BACK = "roll_back"


class Outcome(StrEnum):
    """What a step came to while the operation was undecided."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Undo(StrEnum):
    """Where the undoing of a step stands."""

    NONE = "none"
    NEEDED = "needed"
    RESTORED = "restored"
    ABANDONED = "abandoned"


class AttemptState(StrEnum):
    """What is known of a write: open until its fate is known."""

    OPEN = "open"
    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    SETTLED = "settled"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a good GET showed: presence, and the body as JSON text when present."""

    presence: Presence
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write that was sent to one host, or may have been."""

    id: AttemptId
    undo: bool
    state: AttemptState
    opened_at: Millis
    send_by: Millis
    """Past this moment the write is no longer sent."""
    quiet_at: Millis
    """`send_by` + the longest call: from here on the write is no longer under way in our own hands."""
    clean: bool
    """For an undo: no other attempt was open when this one was opened."""
    probed_at: Millis | None = None
    """When the first of the two settling GETs had been answered."""
    answered_at: Millis | None = None
    closed_at: Millis | None = None
    answer: str | None = None
    """What came back, in a few words."""


@dataclass(frozen=True, slots=True)
class Gate:
    round: int
    at: Millis
    said: str


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on one host. `before`, `outcome` and `undo` never overwrite each other."""

    host: HostName
    fingerprint: str = ""
    """Of the host's URL, as the producer's inventory had it."""
    before: Seen | None = None
    outcome: Outcome | None = None
    undo: Undo = Undo.NONE
    reason: str | None = None
    misses: int = 0
    """GETs in a row that told nothing while the operation was undecided."""
    undo_misses: int = 0
    """Tries since the decision that brought nothing: no answer, or a refusal."""
    due_at: Millis | None = None
    """When the sweep is to look at this host again; unset when no wait is recorded."""
    abandoned_at: Millis | None = None
    """When an operator gave up on the host; `reason` tells who and why."""
    wave: int = 1
    """Before this wave is open nothing is done to the host."""
    health: str | None = None
    """The path that must answer 2xx at the gate."""
    gate: Gate | None = None
    """The last look of the gate."""
    lost_fields: tuple[str, ...] = ()
    """Fields of a deleted group that its host refused to take back."""
    attempts: tuple[Attempt, ...] = ()
    why: ReasonKind | None = None
    """The kind of the reason."""
    trace: Trace | None = None
    """Of a thing with content."""

    @property
    def touched(self) -> bool:
        """True once any attempt was ever opened."""
        return bool(self.attempts)

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        """The attempts whose fate is not known yet."""
        return tuple(a for a in self.attempts if a.state is AttemptState.OPEN)

    @property
    def writes(self) -> int:
        """How many forward writes were opened."""
        return sum(not a.undo for a in self.attempts)


@dataclass(frozen=True, slots=True)
class HostRef:
    """A host as the producer saw it: its name and a fingerprint of its URL."""

    name: HostName
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Loss:
    """An operation that was accepted, and whose record is gone: Redis lost it."""

    id: OperationId
    group: GroupId
    action: Action | None
    """None where a message alone told of it."""
    at: Millis
    """When that was noticed."""


class Stage(StrEnum):
    """Where an undecided operation is in its open wave."""

    WORKING = "working"
    """Hosts of open waves have no outcome yet."""
    BAKING = "baking"
    """Every host of open waves is as asked; the next wave waits until the bake is over."""
    GATING = "gating"
    """Every host of open waves is looked at once more."""
    WAITING = "waiting"
    """Somebody holds it, or a host of the next wave is paused."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an operation goes no further after the wave at work; only this number releases it."""

    number: int
    who: str
    why: str
    since: Millis
    until: Millis
    """Then the operation is rolled back."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When an operation with waves came to something."""

    at: Millis
    what: str
    """`wave` (opened), `done` (a wave), `gate` (a round opened), `passed`, `held`, `released`."""
    number: int
    """Of the wave, the round or the hold."""
    said: str = ""
    """Of a hold and of its release: who, and why."""


@dataclass(frozen=True, slots=True)
class RolloutState:
    wave: int
    """The highest that is open."""
    waves: int
    stage: Stage
    hold: Hold | None
    bake_until: Millis | None
    expires_at: Millis | None
    round: int = 0
    """Of the gate."""
    bake: int = 0
    """Milliseconds after a wave that changed something."""
    changed: int = 0
    """Hosts that the wave at work has changed."""
    moments: tuple[Moment, ...] = ()
    """Its course so far, by time."""


@dataclass(frozen=True, slots=True)
class Status:
    """The all-or-nothing unit: one action on one group over a set of hosts."""

    id: OperationId
    group: GroupId
    action: Action
    verb: str
    """What was asked: create, set or delete. A set is carried out as a create."""
    state: State
    decision: Decision | None
    settling: bool
    """The end is known, but the group's lock is kept until every attempt is closed."""
    ended: bool
    """The group's lock has been released."""
    reason: str | None
    """Why the operation was rolled back."""
    created_by: str
    created_at: Millis
    deadline_at: Millis
    decided_at: Millis | None
    ended_at: Millis | None
    hosts_total: int
    hosts_done: int
    """How many hosts have an outcome."""
    pending_hosts: tuple[HostName, ...]
    """Hosts that are still to be restored."""
    stalled_hosts: tuple[HostName, ...]
    """Those of the pending hosts that gave no answer, or a refusal, often enough to be named."""
    rollout: RolloutState | None = None
    """How far it is, if it has waves."""
