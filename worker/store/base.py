"""The Store protocol: one method per transition, each atomic and safe to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from worker.operation.decision import Tally
from worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    Operation,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Step,
)


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
class Request:
    """What a producer asks for."""

    id: OperationId
    group: GroupId
    action: Action
    hosts: tuple[HostRef, ...]
    deadline: int
    """Milliseconds from now."""
    created_by: str


class Forward(StrEnum):
    """What a forward transition says is to be done next."""

    ABORTED = "aborted"
    """Unknown, ended or decided: write nothing."""
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
    """The answer of a forward transition; `misses` counts the probes in a row that told nothing."""

    next: Forward
    outcome: Outcome | None = None
    reason: str | None = None
    misses: int = 0


class Verdict(StrEnum):
    """What came of a write, once a contested one was looked into."""

    APPLIED = "applied"
    ALREADY = "already"
    REFUSED = "refused"
    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"
    MISDIRECTED = "misdirected"


class Undoing(StrEnum):
    """What `begin_undo` says is to be done next."""

    ABORTED = "aborted"
    ELSEWHERE = "elsewhere"
    SEND = "send"


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


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settling GET brought; `again_at` is set while attempts are open."""

    restored: bool
    open: int
    again_at: Millis | None


class Taker(StrEnum):
    """Who claims hosts to be published."""

    CALLBACK = "callback"
    SWEEP = "sweep"


class Cancelled(StrEnum):
    """What became of a cancel."""

    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    COMMITTED = "commit"
    ROLLING_BACK = "roll_back"


class Abandoned(StrEnum):
    """What became of an abandon."""

    ABANDONED = "abandoned"
    NOT_PENDING = "not_pending"
    UNDECIDED = "undecided"
    UNKNOWN = "unknown"


class Transitions(Protocol):
    """What the steps need of a store. Every method raises StoreUnavailable when Redis does not answer."""

    def begin(
        self, operation: OperationId, host: HostName, fingerprint: str, seen: Seen, attempt: AttemptId
    ) -> Progress:
        """Record what a GET showed; open `attempt` if a write is needed (SEND)."""
        ...

    def missed(
        self,
        operation: OperationId,
        host: HostName,
        probe: AttemptId,
        reason: str,
        fatal: Outcome | None = None,
    ) -> Progress:
        """Count a GET that told nothing; fail the step after too many, or at once with `fatal`."""
        ...

    def finish(
        self, operation: OperationId, host: HostName, attempt: AttemptId, verdict: Verdict, answer: str
    ) -> Progress:
        """Record what came of a forward write; OPEN means try again."""
        ...

    def decide(self, operation: OperationId, decision: Decision, reason: str) -> Decision | None:
        """Decide unless decided; return the decision that holds. A commit needs every outcome."""
        ...

    def tally(self, operation: OperationId) -> Tally | None:
        """Read how far an operation has come; None when it is unknown."""
        ...

    def view(self, operation: OperationId, host: HostName) -> View:
        """Read one step and the store's clock, before a GET is sent."""
        ...

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        """Record what a GET showed after the decision: closes settled attempts, proves restored hosts."""
        ...

    def begin_undo(
        self, operation: OperationId, host: HostName, fingerprint: str, attempt: AttemptId
    ) -> Undoing:
        """Open an attempt of the inverse."""
        ...

    def finish_undo(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        verdict: Verdict,
        answer: str,
        lost_fields: Sequence[str] = (),
    ) -> bool:
        """Record what came of an inverse write; return True if the host is known to be restored."""
        ...

    def postpone(
        self,
        operation: OperationId,
        host: HostName,
        delay: int | None,
        reason: str = "",
        failed: AttemptId | None = None,
    ) -> int:
        """Keep a wait of `delay` ms (None: none) for the sweep; return the failed tries since deciding."""
        ...


class Store(Transitions, Protocol):
    """Everything: the transitions, and what producers, callbacks, the sweep and people need."""

    def accept(self, request: Request) -> Accepted | Busy:
        """Record a new operation and take its group's lock. Raises OperationIdReused and StoreFull."""
        ...

    def cancel(self, operation: OperationId, reason: str) -> Cancelled:
        """Decide to roll back, unless decided."""
        ...

    def abandon(self, operation: OperationId, host: HostName, reason: str) -> Abandoned:
        """Give up on a host that is still to be restored or settled."""
        ...

    def take(self, operation: OperationId, by: Taker) -> tuple[HostName, ...]:
        """Claim the hosts that are to be worked on next."""
        ...

    def due(self, limit: int) -> tuple[OperationId, ...]:
        """Return operations that the sweep is to look at, the longest overdue first."""
        ...

    def lease(self, name: str, milliseconds: int) -> bool:
        """Take a short lease for a periodic piece of work; False if somebody else holds it."""
        ...

    def forget(self, older_than: int, beyond: int, at_most: int) -> int:
        """Drop ended records older than so many ms or beyond so many; return how many were dropped."""
        ...

    def operation(self, operation: OperationId) -> Operation | None:
        """Read an operation; None when it is unknown."""
        ...

    def steps(self, operation: OperationId) -> tuple[Step, ...]:
        """Read the steps of an operation, in the order of its hosts."""
        ...

    def operations(self, limit: int, offset: int = 0) -> tuple[Operation, ...]:
        """Read operations, newest first."""
        ...
