"""What the steps are handed: a host's API and the record, as protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from lockstep.worker.operation.answer import LookAnswer
from lockstep.worker.operation.content import Effect, Id, Shown, WriteAnswer
from lockstep.worker.operation.drift import Ends
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
    Status,
    Step,
)
from lockstep.worker.operation.thing import ContentTransitions
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


class StopOrdered(Exception):
    """The worker is being stopped: no further call is started; the task goes back to its queue."""


class HostApi(Protocol):
    """One host's groups and things. Its methods never raise for what a host does, only StopOrdered."""

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""

    def look_at_group(self, group: GroupId) -> LookAnswer:
        """GET the group. Raises StopOrdered before anything is sent if the worker is being stopped."""

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `Clock.elapsed` has passed `send_before` when bytes would leave.

        `body` is the JSON to create the group with; without it the id alone is sent.
        """

    def look_at_thing(self, kind: Any, thing: Id) -> Shown:
        """Look at a thing. Raises StopOrdered before anything is sent if the worker is being stopped."""

    def send(
        self,
        kind: Any,
        verb: Any,
        thing: Id,
        request: Any,
        attempt: AttemptId,
        send_before: float,
        hidden: Iterable[str] = (),
    ) -> WriteAnswer:
        """Send a write of `Kind.request`, unless `send_before` has passed when bytes would leave."""

    def unwell(self, path: str) -> str | None:
        """GET a path below the host's URL; return None for any 2xx, else what came, in a few words."""


class Clock(Protocol):
    """Time and chance."""

    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""

    def jitter(self) -> float:
        """A random number in [0, 1)."""

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""


LONG_AGO = Millis(0)


class Transitions(ContentTransitions, Protocol):
    """What the steps need of a store. Every method raises StoreUnavailable when Redis does not answer."""

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
    ) -> Progress:
        """Record what came of a forward write; OPEN means try again, which takes `needs` ms.

        Of a thing with content it is of any write, and OPEN means that a look is to tell.
        """

    def view(self, operation: OperationId, host: HostName) -> View:
        """Read one step and the store's clock, before a GET is sent."""

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        """Record what a GET showed after the decision: closes settled attempts, proves restored hosts."""

    def begin_undo(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        attempt: AttemptId,
        sent_at: Millis = LONG_AGO,
    ) -> Progress:
        """Open an attempt of the inverse (SEND): a look not sent before `sent_at` says that it is needed."""

    def finish_undo(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        lost_fields: Sequence[str] = (),
    ) -> bool:
        """Record what came of an inverse write; return True if the host is known to be restored."""

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


class Store(Transitions, Ends, Protocol):
    """Everything: the transitions, and what producers, callbacks, the sweep, the patrol and people need."""

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

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""

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

    def exists(self, operation: OperationId) -> bool:
        """Tell whether there is a record of an operation."""

    def operation(self, operation: OperationId) -> Status | None:
        """Read an operation; None when it is unknown."""

    def order(self, operation: OperationId) -> Order | None:
        """Read what an operation is about, which never changes; None when it is unknown."""

    def steps(self, operation: OperationId) -> tuple[Step, ...]:
        """Read the steps of an operation, in the order of its hosts."""

    def operations(self, limit: int, offset: int = 0) -> tuple[Status, ...]:
        """Read operations, newest first."""
