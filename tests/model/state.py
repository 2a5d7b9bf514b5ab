"""What the model remembers: the store's record, the hosts, the workers under way and the writes still
travelling.

Everything is a named tuple: small, frozen, hashable, and sortable where order must not matter.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

EARLY = "EARLY: a trace of the operation on a host whose wave is not open"


class Action(StrEnum):
    """What an operation asks of every host."""

    CREATE = "create"
    DELETE = "delete"

    @property
    def target(self) -> bool:
        """Whether the group is there once a host is as asked."""
        return self is Action.CREATE


class Phase(StrEnum):
    """Where an operation stands with regard to the group's lock."""

    QUEUED = "queued"  # not accepted yet: nothing is stored
    RUNNING = "running"  # owns the lock
    ENDED = "ended"  # the lock is released


class Decision(StrEnum):
    """What was decided; `NONE` until one compare-and-set succeeds."""

    NONE = "undecided"
    COMMIT = "commit"
    ROLL_BACK = "roll back"


class Cancel(StrEnum):
    """What the one who asked for a cancel was told."""

    NOT_ASKED = "not asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Outcome(StrEnum):
    """What a step came to."""

    UNSET = "unset"
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"

    @property
    def as_asked(self) -> bool:
        return self in (Outcome.APPLIED, Outcome.UNCHANGED)

    @property
    def failed(self) -> bool:
        return self in (Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.UNKNOWN)


class Undo(StrEnum):
    """How far the rollback of a step is."""

    NONE = "none"
    NEEDED = "needed"
    RESTORED = "restored"
    ABANDONED = "abandoned"


class Attempt(StrEnum):
    """The fate of one slot for an attempt. A slot is used again only when nobody holds its old id any
    more."""

    CLOSED = "closed"
    OPEN = "open"
    SEEN_ONCE = "open, first settling GET answered"


class At(StrEnum):
    """What a worker does next. It may be killed at each of these points."""

    BEGIN = "begin"  # its GET is answered; `saw` is what it showed
    SEND = "send"  # its attempt is open, its write has not left
    OVERSLEPT = "send, although past send_by"  # only where the guard is switched off
    GOT_400 = "got 400"  # 400 or 404: a GET must tell what it meant
    FINISH_APPLIED = "finish applied"
    FINISH_ALREADY = "finish already there"
    FINISH_REFUSED = "finish refused"
    FINISH_NOT_APPLIED = "finish not applied"
    RECORD_RESTORED = "record restored"  # its GET showed `before`
    GATE_SEEN = "gate seen"  # its GET is answered; it read the round's number (`attempt`) before


class Travel(StrEnum):
    """Where a write is that its client gave up on."""

    UNDER_WAY = "under way"
    ARRIVED = "at the host"


class Stage(StrEnum):
    """Where an undecided operation is in its open wave."""

    WORKING = "working"  # hosts of open waves have no outcome yet
    BAKING = "baking"  # it waits until the bake is over
    GATING = "gating"  # every host of open waves is looked at once more
    WAITING = "waiting"  # somebody holds it


class Step(NamedTuple):
    """One operation on one host, as the store keeps it."""

    forward: tuple[Attempt, ...]
    backward: tuple[Attempt, ...]
    before: bool | None = None
    outcome: Outcome = Outcome.UNSET
    undo: Undo = Undo.NONE
    touched: bool = False
    may_have_landed: bool = False  # an attempt was closed otherwise than not_applied
    proven: bool = False  # a forward attempt was closed applied (kept only for the refinements)
    undo_may_have_landed: bool = False  # as may_have_landed, for undo attempts (only for the refinements)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every slot; a slot's number counts forward ones first."""
        return self.forward + self.backward

    @property
    def open(self) -> int:
        """How many attempts are open."""
        return sum(attempt is not Attempt.CLOSED for attempt in self.attempts)

    def with_attempt(self, number: int, fate: Attempt) -> Step:
        """This step with one attempt's fate changed."""
        slots = list(self.attempts)
        slots[number] = fate
        cut = len(self.forward)
        return self._replace(forward=tuple(slots[:cut]), backward=tuple(slots[cut:]))


class Worker(NamedTuple):
    """One task instance under way; any number of copies of a message may have been delivered."""

    op: int
    at: At
    attempt: int = -1  # none yet
    saw: bool = False
    clean: bool = False  # begin_undo found no other attempt open


class Late(NamedTuple):
    """A write whose client gave up, and that still lands."""

    op: int
    attempt: int
    travel: Travel


class Host(NamedTuple):
    """One host: what it holds, what it should hold, and everything that concerns it."""

    holds: bool
    expected: bool | None  # by the last end; None after `abandon`: nothing is promised
    steps: tuple[Step, ...]  # one for each operation
    workers: tuple[Worker, ...] = ()
    late: tuple[Late, ...] = ()
    down: bool = False
    wrong: str = ""  # a promise that one of our writes broke here
    wave: int = 1  # which wave of the first operation it belongs to
    gating: bool = False  # it has not passed the round that is open
    gate_failed: bool = False  # it showed something else than the target, or was unwell three times
    disk: tuple[Step, ...] | None = None  # what a crash of a lossy Redis goes back to


class Operation(NamedTuple):
    """The part of an operation that belongs to no single host."""

    phase: Phase = Phase.QUEUED
    decision: Decision = Decision.NONE
    told_commit: bool = False
    told_roll_back: bool = False
    cancel: Cancel = Cancel.NOT_ASKED
    wave: int = 1  # the highest that is open
    stage: Stage = Stage.WORKING
    hold: int = 0  # the number of the last hold
    released: int = 0  # the number of the last hold that was released
    asked: tuple[
        int, ...
    ] = ()  # holds that people saw and promoted; each promote arrives any number of times
    round: int = 0  # of the gate
    found: bool = False  # a reader found the wave done, and has not written that yet (only where it may)
    wrong: str = ""  # a promise that opening a wave, or releasing a hold, broke

    @property
    def held(self) -> bool:
        return self.hold > self.released


class Shared(NamedTuple):
    """Everything that belongs to no single host, with the budget of rare events that is left."""

    ops: tuple[Operation, ...]
    hosts_may_die: int = 0
    strangers_may_write: int = 0
    redis_may_crash: int = 0
    holds_may_come: int = 0
    disk: tuple[Operation, ...] | None = None

    def with_op(self, number: int, operation: Operation) -> Shared:
        """This state with one operation replaced."""
        return self._replace(ops=(*self.ops[:number], operation, *self.ops[number + 1 :]))
