"""What must hold, whatever happens: followed while a schedule runs, and judged when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.faults import Row
from tests.simulation.limits import LIMITS
from tests.simulation.world import Violation
from tests.twin import MemoryStore
from tests.twin.record import Record
from worker.operation.limits import Limits
from worker.operation.model import (
    Action,
    Decision,
    HostName,
    Millis,
    OperationId,
    Presence,
    Undo,
)
from worker.store.base import Accepted, Busy, Cancelled, Request, Stale

if TYPE_CHECKING:
    from tests.simulation.hosts import SimHost, Write
    from tests.simulation.task import Run
    from tests.simulation.world import World


CALL, SETTLE = LIMITS.call, LIMITS.settle
"""Of the world, whatever limits the store is given."""


class WatchedStore(MemoryStore):
    """The twin, with the ledger told of what counts."""

    def __init__(self, clock: Callable[[], Millis], limits: Limits, ledger: Ledger) -> None:
        super().__init__(clock, limits)
        self._ledger = ledger

    def accept(self, request: Request) -> Accepted | Busy | Stale:
        said = super().accept(request)
        if said is Accepted.ACCEPTED:
            self._ledger.accepted(self.records[request.id])
        return said

    def decide(self, operation: OperationId, decision: Decision, reason: str) -> Decision | None:
        record = self.records.get(operation)
        if record is not None and record.decision is not None:
            self._ledger.world.hit(Row.DECIDE_RACES)
        return super().decide(operation, decision, reason)

    def cancel(self, operation: OperationId, reason: str) -> Cancelled:
        said = super().cancel(operation, reason)
        if said is Cancelled.COMMITTED:
            self._ledger.world.hit(Row.CANCEL_COMMITTED)
        return said

    def heard(self, what: str, record: Record, host: HostName | None = None) -> None:
        self._ledger.heard(what, record, host)


class Ledger:
    """Knows every effect on every host, and what the operations promised."""

    def __init__(self, world: World, limits: Limits) -> None:
        self.world = world
        self.limits = limits
        self.store = WatchedStore(lambda: world.now, limits, self)
        self.hosts: dict[HostName, SimHost] = {}
        self.expected: dict[HostName, bool] = {}
        """What each host holds if the operations that have ended took place one after another."""
        self.before: dict[OperationId, dict[HostName, bool]] = {}
        self.decisions: dict[OperationId, Decision] = {}
        self.tainted: set[HostName] = set()
        """Hosts on which something happened that the protocol does not cover."""
        self.running: set[Run] = set()

    def add(self, host: SimHost) -> None:
        self.hosts[host.name] = host
        self.expected[host.name] = host.holds

    def accepted(self, record: Record) -> None:
        self.world.log("accepted", record.id)
        for other in self.store.records.values():
            if other is not record and not other.ended:
                raise Violation(f"{record.id} was accepted while {other.id} runs")
        self.before[record.id] = {host: self.expected[host] for host in record.steps}

    def heard(self, what: str, record: Record, host: HostName | None) -> None:
        if self.world.tracing:
            self.world.log(what, record.id, host or record.state)
        if what == "decided":
            self._decided(record)
        elif what == "restored" and host is not None:
            self._must_hold(host, self.before[record.id][host], "it was recorded as restored")
        elif what == "abandoned" and host is not None:
            self.tainted.add(host)
        elif what == "ended":
            self._ended(record)

    def _decided(self, record: Record) -> None:
        if record.id in self.decisions or record.decision is None:
            raise Violation(f"{record.id} was decided twice")
        self.decisions[record.id] = record.decision
        if record.decision is Decision.COMMIT:
            for host in record.steps:
                self._must_hold(host, record.target is Presence.PRESENT, "the operation was committed")
        elif any(run.begun_forward and run.message.operation == record.id for run in self.running):
            self.world.hit(Row.IN_FLIGHT)

    def _ended(self, record: Record) -> None:
        for host, step in record.steps.items():
            if step.open_attempts():
                raise Violation(f"{record.id} ended with an open attempt on {host}")
            if record.decision is Decision.COMMIT:
                self.expected[host] = record.target is Presence.PRESENT
            elif step.undo is Undo.NEEDED:
                raise Violation(f"{record.id} ended with {host} still to be restored")
            self._must_hold(host, self.expected[host], f"{record.id} ended")

    def _must_hold(self, host: HostName, present: bool, why: str) -> None:
        if host not in self.tainted and self.hosts[host].holds is not present:
            raise Violation(f"{host} {'lacks' if present else 'holds'} the group when {why}")

    def sent(self, write: Write) -> None:
        """A write's first byte is about to leave: its attempt must have been recorded before."""
        record = self.store.records[write.operation]
        attempt = record.steps[write.host.name].attempts.get(write.attempt)
        if attempt is None:
            raise Violation(f"a write was sent to {write.host.name} without a recorded attempt")
        if self.world.now >= attempt.send_by:
            raise Violation(f"a write was sent to {write.host.name} past its send_by")

    def past_its_window(self, write: Write) -> bool:
        """Tell whether it is now too late for the write to be still in our own hands."""
        record = self.store.records[write.operation]
        return self.world.now > record.steps[write.host.name].attempts[write.attempt].send_by + CALL

    def latest_landing(self, write: Write, choice: int) -> int:
        """A moment at which the write may land within A1: soon, or as late as that."""
        record = self.store.records[write.operation]
        given_up = record.steps[write.host.name].attempts[write.attempt].send_by + CALL
        arrival = min(given_up, self.world.now + (0, 0, 0, CALL, CALL)[choice])
        return arrival + (1, SETTLE // 2, SETTLE, SETTLE, SETTLE)[choice]

    def effect(self, write: Write) -> None:
        """A write has changed a host: it must be one that the operation still answers for."""
        host = write.host.name
        if write.stray:
            self.world.note("stray writes that took effect")
            self.tainted.add(host)
        if host in self.tainted:
            return
        record = self.store.records[write.operation]
        if record.ended:
            raise Violation(f"{write.action} of {record.id} took effect on {host} after its end")
        was = self.before[record.id][host]
        if write.action is not record.action and was is not (write.action is Action.CREATE):
            raise Violation(f"{write.action} of {record.id} undid on {host} what was not its own")
        if record.decision is Decision.ROLL_BACK and host not in record.undo:
            raise Violation(f"{host} of {record.id} changes, and is not among its pending hosts")

    def judge(self) -> None:
        """All is healed: every operation has ended, and every host is as their sequence says."""
        for record in self.store.records.values():
            if not record.ended:
                raise Violation(f"{record.id} never ends: it is {record.state}")
            if any(step.open_attempts() for step in record.steps.values()):
                raise Violation(f"{record.id} has ended with an open attempt")
        if self.store.locks:
            raise Violation(f"locks are left: {self.store.locks}")
        for name, host in self.hosts.items():
            self._must_hold(name, self.expected[name], "all had ended")
            self._drift_is_explained(host)

    def _drift_is_explained(self, host: SimHost) -> None:
        group = next(iter(self.store.groups_with_ends()), None)
        end = self.store.ends(group).get(host.name) if group is not None else None
        if group is None or end is None:
            return
        if host.holds is not (end.presence is Presence.PRESENT):
            self.world.note("drift left for the patrol")
            found = Presence.PRESENT if host.holds else Presence.ABSENT
            if (host.name, found) not in self.store.suspicions(group, [host.name]):
                raise Violation(f"{host.name} drifted, and the patrol is not told to look at it")
