"""The record, as whoever works with it sees it, as a protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import Drift, End, ForgottenGroup
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    Loss,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Status,
    Step,
)
from lockstep.worker.operation.thing import ThingEnd, ThingLook
from lockstep.worker.operation.transitions import (
    Accepted,
    Busy,
    Claim,
    HoldAnswer,
    Miss,
    Order,
    Progress,
    Refusal,
    Request,
    Settled,
    View,
)
from lockstep.worker.operation.waves import GateVerdict, Health


class Store(Protocol):
    """Every method raises StoreUnavailable when Redis does not answer."""

    def begin(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        seen: Seen,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        age: int = 0,
    ) -> Progress:
        """Record what a GET of the group showed; open `attempt` if a write is needed (SEND).

        OVER if the operation is about another action or group. The GET was sent `age` ms ago at most.
        """

    def missed(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: AttemptId,
        reason: str,
        miss: Miss,
        fatal: Outcome | None = None,
        needs: int = 0,
        why: ReasonKind | None = None,
    ) -> Progress:
        """Count a GET that told nothing; fail the step when its time or its retries are spent.

        `fingerprint` is of the URL that was asked; an UNASKED miss has none. With `fatal` the step fails at
        once, and has that outcome unless it was touched. There is another try only if `needs` ms are left.
        """

    def finish(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        needs: int = 0,
        lost_fields: Sequence[str] = (),
    ) -> Progress:
        """Record what came of a write; OPEN means try again, which takes `needs` ms, or, of a thing, look.

        RESTORED is said of an inverse write where the host is known to be as it was before.
        """

    def view(self, operation: OperationId, host: HostName) -> View:
        """Read one step and the store's clock, before a GET is sent."""

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        """Record what a GET showed after the decision: closes settled attempts, proves restored hosts."""

    def begin_undo(
        self, operation: OperationId, host: HostName, fingerprint: str, attempt: AttemptId, sent_at: Millis
    ) -> Progress:
        """Open an attempt of the inverse (SEND): a look not sent before `sent_at` says that it is needed."""

    def postpone(
        self,
        operation: OperationId,
        host: HostName,
        delay: int | None,
        reason: str = "",
        failed: AttemptId | None = None,
        why: ReasonKind | None = None,
    ) -> int:
        """Keep a wait of `delay` ms (None: none) for the sweep; return the failed tries since deciding."""

    def called(self) -> Iterator[OperationId]:
        """Take the operations of which this process opened a wave or freed a place: publish what is due."""

    def gate_seen(
        self,
        operation: OperationId,
        host: HostName,
        number: int,
        sent_at: Millis,
        look: AttemptId,
        health: Health,
        said: str,
    ) -> GateVerdict:
        """Record what a look of the gate showed; ignored unless it is of the open round."""

    def shown(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: ThingLook,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        needs: int = 0,
    ) -> Progress:
        """Record what a look showed; open `attempt` if a write is needed (SEND).

        MISSED means look again, without a write. OVER if the operation is about something else.
        """

    def restore(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        sent_at: Millis,
        open_before: int,
        look: ThingLook,
        attempt: AttemptId,
    ) -> Progress:
        """Record what a look showed after the decision to roll back; open `attempt` of the inverse (SEND)."""

    def resolve(self, operation: OperationId, host: HostName, who: str) -> Refusal | None:
        """Have what was there before written over what the host showed last; None if that was done now."""

    def text(self, operation: OperationId, digest: str) -> str | None:
        """Read the text of a content, or another that the operation keeps; None if it is kept no more."""

    def accept(self, request: Request) -> Accepted | Busy:
        """Record an operation and take its lock. Raises OperationIdReused, HostPaused and StoreFull."""

    def cancel(self, operation: OperationId, by: str) -> Refusal | None:
        """Decide to roll back; None if that is decided, because of `by`, who asked for it, and why."""

    def hold(self, operation: OperationId, who: str, why: str) -> HoldAnswer | Refusal:
        """Keep an operation from going further than the wave at work."""

    def promote(self, operation: OperationId, number: int, by: str = "") -> Refusal | None:
        """Release the hold of this number, and no other; None if that was done now. `by`: who, and why."""

    def abandon(self, operation: OperationId, host: HostName, reason: str) -> Refusal | None:
        """Give up on a host that is still to be restored or settled; None if that was done now."""

    def claim(self, operation: OperationId, *, resume: bool = False) -> Claim | None:
        """Claim what is to be published next, each phase once; None if unknown or ended.

        Decides if the deadline has passed. With `resume`, the sweep's, also hosts whose wait is over, and
        hosts that wait for nothing once nothing has moved for the sweep's patience.
        """

    def due(self, limit: int) -> tuple[OperationId, ...]:
        """Return operations that the sweep is to look at, the longest overdue first."""

    def queue_length(self, queue: str) -> int: ...

    def lease(self, name: str, milliseconds: int) -> bool:
        """Take a short lease for a periodic piece of work; False if somebody else holds it."""

    def keep_lease(self, name: str, milliseconds: int) -> None:
        """Have a lease last for `milliseconds` from now."""

    def put_last(self, operation: OperationId, error: Exception, milliseconds: int) -> None:
        """Name an operation that cannot be read, and put it off, behind those that can."""

    def note_done(self, name: str, milliseconds: int) -> None:
        """Note, for `milliseconds`, that a periodic piece of work was done."""

    def note_failed(self, name: str, why: str) -> None:
        """Keep note of why a periodic piece of work failed, until it is done."""

    def failing(self) -> Mapping[str, str]:
        """Read which periodic pieces of work failed when they were last tried, and why."""

    def first(self, operation: OperationId, what: str) -> bool:
        """Tell whether `what` is done for an operation for the first time; the record remembers it."""

    def forget(self, older_than: int, beyond: int, at_most: int) -> int:
        """Drop ended records over `older_than` ms old or past `beyond`, `at_most` at once; say how many."""

    def exists(self, operation: OperationId) -> bool: ...

    def operation(self, operation: OperationId) -> Status | None:
        """Read an operation; None when it is unknown."""

    def order(self, operation: OperationId) -> Order | None:
        """Read what an operation is about, which never changes; None when it is unknown."""

    def steps(self, operation: OperationId) -> tuple[Step, ...]:
        """Read the steps of an operation, in the order of its hosts."""

    def operations(self, limit: int, offset: int = 0) -> tuple[Status, ...]:
        """Read operations, newest first."""

    def now(self) -> Millis: ...

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

    def lost(self) -> dict[OperationId, Loss]: ...
