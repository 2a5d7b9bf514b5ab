"""What the twin keeps of an operation: mutable dataclasses in place of hashes, sets and sorted sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockstep.worker.operation.errors import ReasonKind, told, told_of
from lockstep.worker.operation.host import NAMED_AFTER
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    Decision,
    Gate,
    GroupId,
    Hold,
    HostName,
    Millis,
    Moment,
    OperationId,
    Outcome,
    Presence,
    RolloutState,
    Seen,
    Stage,
    State,
    Status,
    Step,
    Undo,
)
from lockstep.worker.operation.thing import ABSENT, ThingRequest, Trace
from lockstep.worker.operation.transitions import Phase
from lockstep.worker.operation.waves import HOLD_MOST, Rollout

FORMAT, WAVED, FILLED = FORMATS = ("1", "2", "3")
MOMENT = Millis(0)
NO_TRACE = Trace()


ALLOWED: frozenset[tuple[State, State]] = frozenset(
    {
        (State.APPLYING, State.COMMITTED),  # decide: every host applied or unchanged
        (State.APPLYING, State.ROLLING_BACK),  # decide: a step failed, the deadline passed, or cancel
        (State.ROLLING_BACK, State.ROLLED_BACK),  # the last host was restored, no attempt is open
        (State.ROLLING_BACK, State.ABANDONED),  # the same, but an operator gave up on at least one host
    }
)


def allowed(old: State, new: State) -> bool:
    """Tell whether an operation may go from `old` to `new` in one transition."""
    return (old, new) in ALLOWED


SUCCEEDED = frozenset({Outcome.APPLIED, Outcome.UNCHANGED})
"""Of these the host is as asked."""


@dataclass(slots=True)
class AttemptRecord:
    """One write to one host."""

    id: AttemptId
    undo: bool
    opened: Millis
    send_by: Millis
    quiet: Millis
    clean: bool
    state: AttemptState = AttemptState.OPEN
    probed: Millis | None = None
    answered: Millis | None = None
    closed: Millis | None = None
    answer: str | None = None
    started: bool = False
    later: bool = False

    @property
    def is_open(self) -> bool:
        return self.state is AttemptState.OPEN

    def shown(self) -> Attempt:
        """Return it as the model has it."""
        return Attempt(
            self.id,
            self.undo,
            self.state,
            self.opened,
            self.send_by,
            self.quiet,
            self.clean,
            self.probed,
            self.answered,
            self.closed,
            self.answer,
        )


@dataclass(slots=True)
class GateRecord:
    """What the gate saw of a host in one round."""

    round: int
    unwell: int = 0
    sent: int = 0
    id: AttemptId | None = None
    at: Millis = MOMENT
    said: str = ""


@dataclass(slots=True)
class Waves:
    """What an operation with waves keeps besides."""

    asked: Rollout
    deadline: int
    expires_at: Millis | None
    wave: int = 1
    stage: Stage = Stage.WORKING
    changed: int = 0
    bake_until: Millis = MOMENT
    round: int = 0
    gating: set[HostName] = field(default_factory=set)
    hold_no: int = 0
    released_no: int = 0
    hold: Hold | None = None
    hold_most: int = HOLD_MOST
    moments: list[Moment] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of the last wave."""
        return max(self.asked.waves.values(), default=1)

    def note(self, at: Millis, what: str, number: int, said: str = "") -> None:
        """Keep when it came to something."""
        self.moments.append(Moment(at, what, number, said))

    def put_on_hold(self, now: Millis, who: str, why: str) -> Hold:
        """Keep it from going further than the wave at work."""
        self.hold_no += 1
        self.hold = Hold(self.hold_no, who, why, now, Millis(now + self.hold_most))
        self.note(now, "held", self.hold_no, f"{who}: {why}")
        return self.hold

    def shown(self) -> RolloutState:
        """Return it as the model has it."""
        return RolloutState(
            self.wave,
            self.last,
            self.stage,
            self.hold,
            self.bake_until or None,
            self.expires_at,
            self.round,
            self.asked.bake,
            self.changed,
            tuple(self.moments),
        )


@dataclass(slots=True)
class StepRecord:
    """One operation on one host; attempts in the order of their opening."""

    fingerprint: str
    before: Presence | None = None
    body: str | None = None
    outcome: Outcome | None = None
    undo: Undo | None = None
    reason: str | None = None
    why: ReasonKind | None = None
    abandoned: str | None = None
    abandoned_at: Millis | None = None
    misses: int = 0
    miss_id: AttemptId | None = None
    silent: int = 0
    silent_at: Millis | None = None
    undo_misses: int = 0
    undo_miss_id: AttemptId | None = None
    wave: int = 1
    health: str | None = None
    gate: GateRecord | None = None
    lost: tuple[str, ...] = ()
    since: Millis | None = None
    trace: Trace = NO_TRACE
    over: str | None = None
    contested: str | None = None
    attempts: dict[AttemptId, AttemptRecord] = field(default_factory=dict)

    def open_attempts(self) -> list[AttemptRecord]:
        """Return the attempts whose fate is not known."""
        return [each for each in self.attempts.values() if each.is_open]

    def shown(self, host: HostName, undo_needed: bool, due_at: Millis | None = None) -> Step:
        """Return it as the model has it."""
        return Step(
            host,
            self.fingerprint,
            self._before(),
            self.outcome,
            self.undo or (Undo.NEEDED if undo_needed else Undo.NONE),
            self.abandoned or (self.reason and told(self.why, self.reason)),
            self.misses,
            self.undo_misses,
            due_at,
            self.abandoned_at,
            self.wave,
            self.health,
            Gate(self.gate.round, self.gate.at, self.gate.said) if self.gate else None,
            self.lost,
            tuple([each.shown() for each in self.attempts.values()]),
            self.why,
            self.trace if self.trace != NO_TRACE else None,
        )

    def _before(self) -> Seen | None:
        if self.trace.was is not None:
            return Seen(Presence.ABSENT if self.trace.was == ABSENT else Presence.PRESENT)
        return None if self.before is None else Seen(self.before, self.body)

    @property
    def landed(self) -> bool:
        """Whether anything of ours may be on the host, now or later."""
        return any(each.state is not AttemptState.NOT_APPLIED for each in self.attempts.values())


@dataclass(slots=True)
class Record:
    """One operation, its steps and its working sets."""

    id: OperationId
    group: GroupId
    action: Action
    payload: object
    steps: dict[HostName, StepRecord]
    created_by: str
    created_at: Millis
    deadline_at: Millis
    progress_at: Millis
    target: Presence
    todo: set[HostName]
    patience: int
    retries: int | None
    repairs: bool
    owner: str = ""
    undo: set[HostName] = field(default_factory=set)
    open: set[HostName] = field(default_factory=set)
    waits: dict[HostName, Millis] = field(default_factory=dict)
    later: dict[HostName, int] = field(default_factory=dict)
    limited: bool = False
    queued: set[HostName] = field(default_factory=set)
    waves: Waves | None = None
    content: ThingRequest | None = None
    texts: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    state: State = State.APPLYING
    decision: Decision | None = None
    reason: tuple[HostName | None, ReasonKind | None, str] | None = None
    failed: int = 0
    failure: tuple[HostName | None, ReasonKind | None, str] | None = None
    resumed: int = 0
    dispatched: str = Phase.FORWARD
    """What was last published of it; whoever asked for it publishes the first."""
    decided_at: Millis | None = None
    ended: bool = False
    ended_at: Millis | None = None
    abandoned: bool = False
    did: set[str] = field(default_factory=set)

    @property
    def lock(self) -> GroupId:
        """What no other operation may touch meanwhile."""
        return GroupId(self.content.lock) if self.content else self.group

    def shown(self) -> Status:
        """Return it as the model has it."""
        pending = sorted(self.undo) if self.decision is Decision.ROLL_BACK and not self.ended else []
        total = len(self.steps)
        return Status(
            id=self.id,
            group=self.group,
            action=self.action,
            verb=self.content.verb if self.content else self.action.value,
            state=self.state,
            decision=self.decision,
            settling=self.decision is not None and not self.ended and bool(self.open),
            ended=self.ended,
            reason=None if self.reason is None else told_of(*self.reason),
            created_by=self.created_by,
            created_at=self.created_at,
            deadline_at=self.deadline_at,
            decided_at=self.decided_at,
            ended_at=self.ended_at,
            hosts_total=total,
            hosts_done=total if self.ended else total - len(self.todo) - len(self.later),
            pending_hosts=tuple(pending),
            stalled_hosts=tuple([h for h in pending if self.steps[h].undo_misses >= NAMED_AFTER]),
            rollout=self.waves.shown() if self.waves else None,
        )
