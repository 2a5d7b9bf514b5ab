"""The record, as steps and those who publish messages are handed it, as a protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.thing import ThingLook
from lockstep.worker.operation.transitions import (
    Accepted,
    Busy,
    Claim,
    Miss,
    Progress,
    Request,
    Settled,
    View,
)
from lockstep.worker.operation.waves import GateVerdict, Health


class Store(Protocol):
    """Every method raises StoreUnavailable when Redis does not answer. `RedisStore` has more methods."""

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

    def text(self, operation: OperationId, digest: str) -> str | None:
        """Read the text of a content, or another that the operation keeps; None if it is kept no more."""

    def accept(self, request: Request) -> Accepted | Busy:
        """Record an operation and take its lock. Raises OperationIdReused, HostPaused and StoreFull."""

    def claim(self, operation: OperationId, *, resume: bool = False) -> Claim | None:
        """Claim what is to be published next, each phase once; None if unknown or ended.

        Decides if the deadline has passed. With `resume`, the sweep's, also hosts whose wait is over, and
        hosts that wait for nothing once nothing has moved for the sweep's patience.
        """

    def now(self) -> Millis: ...

    def ends(self, group: GroupId) -> dict[HostName, End]:
        """Return what the last ended operations left of a group, per host that they covered."""

    def lock_owner(self, group: GroupId) -> OperationId | None:
        """Return the operation that works on the group just now."""

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
