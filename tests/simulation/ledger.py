"""What must hold, whatever happens: followed while a schedule runs, and judged when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.host import Limits
from lockstep.worker.operation.model import (
    Decision,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Presence,
    Undo,
)
from lockstep.worker.operation.transitions import Accepted, Busy, Claim, Phase, Refusal, Request
from tests.simulation.faults import GROUP, Row
from tests.simulation.limits import LIMITS
from tests.simulation.settled import Course, committed, not_asked, opened
from tests.simulation.world import Violation
from tests.twin import MemoryStore
from tests.twin.record import Record

if TYPE_CHECKING:
    from tests.simulation.hosts import SimHost, Write
    from tests.simulation.task import Run
    from tests.simulation.world import World


LONGEST_DELAY = 100_000
"""Of what was begun before all faults were over."""
CALL, SETTLE = LIMITS.call, LIMITS.settle
"""Of the world, whatever limits the store is given."""


class WatchedStore(MemoryStore):
    """The twin, with the ledger told of what counts. A hold lasts for an hour at most, not for a week."""

    hold_most = 3_600_000

    def __init__(self, clock: Callable[[], Millis], limits: Limits, ledger: Ledger) -> None:
        super().__init__(clock, limits)
        self._ledger = ledger

    def accept(self, request: Request) -> Accepted | Busy:
        said = super().accept(request)
        if said is Accepted.ACCEPTED:
            self._ledger.accepted(self.records[request.id])
            if request.repairs:
                self._ledger.repairs(self.records[request.id])
        if said is Accepted.STALE:
            self._ledger.world.note("repairs that came too late")
        return said

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        new = super().keep_drift(group, ends, found)
        for drift in new or ():
            self._ledger.reported(drift)
        if new is None:
            self._ledger.world.note("looks that an operation overtook")
        return new

    def claim(self, operation: OperationId, *, resume: bool = False) -> Claim | None:
        self._race(operation)
        return super().claim(operation, resume=resume)

    def cancel(self, operation: OperationId, by: str) -> Refusal | None:
        self._race(operation)
        said = super().cancel(operation, by)
        if said is Refusal.COMMITTED:
            self._ledger.world.hit(Row.CANCEL_COMMITTED)
        return said

    def _race(self, operation: OperationId) -> None:
        record = self.records.get(operation)
        if (
            record is not None
            and record.decision is not None
            and not record.dispatched.startswith(Phase.FORWARD)
        ):
            self._ledger.world.hit(Row.DECIDE_RACES)

    def next_due(self) -> float:
        """When the sweep has something to do, unless something else happens before; infinite for never."""
        dues = [self._due(each) for each in self.records.values() if not each.ended]
        return min([due for due in dues if due is not None], default=inf)

    def heard(self, what: str, record: Record, host: HostName | None = None) -> None:
        self._ledger.heard(what, record, host)


class Ledger:
    """Knows every effect on every host, and what the operations promised."""

    def __init__(self, world: World, limits: Limits) -> None:
        self.world = world
        self.limits = limits
        self.store = WatchedStore(lambda: world.now, limits, self)
        self.hosts: dict[HostName, SimHost] = {}
        self.expected: dict[HostName, object] = {}
        """What each host holds if the operations that have ended took place one after another."""
        self.before: dict[OperationId, dict[HostName, object]] = {}
        self.courses: dict[OperationId, Course] = {}
        self.decisions: dict[OperationId, Decision] = {}
        self.tainted: set[HostName] = set()
        """Hosts on which something happened that the protocol does not cover."""
        self.abandoned: set[HostName] = set()
        self.left: dict[HostName, Presence] = {}
        """What the last ended operation that covered a host left there, repairs included."""
        self.running: set[Run] = set()
        self.last_effect = world.now
        self.patrolled_at = world.now
        """When the last patrol that found nothing to repair had begun."""
        self.on_drift: Callable[[Run, SimHost], None] | None = None
        self.on_kept: Callable[[Run, SimHost], None] | None = None
        self.on_repair: Callable[[OperationId], None] | None = None

    def add(self, host: SimHost) -> None:
        self.hosts[host.name] = host
        self.expected[host.name] = host.holds

    def accepted(self, record: Record) -> None:
        self.world.log("accepted", record.id)
        for other in self.store.records.values():
            if other is not record and not other.ended:
                raise Violation(f"{record.id} was accepted while {other.id} runs")
        self.before[record.id] = {host: self.expected[host] for host in record.steps}
        self.courses[record.id] = Course(record)

    def repairs(self, record: Record) -> None:
        """A repair was accepted: it must bring back what was left, and only where something went astray."""
        self.world.note("repairs begun")
        for host in record.steps:
            if self.left.get(host) is not record.target:
                raise Violation(f"a repair goes against what was last left on {host}")
            if host not in self.tainted:
                raise Violation(f"{host} is repaired, although nothing went astray there")
        if self.on_repair is not None:
            self.on_repair(record.id)

    def reported(self, drift: Drift) -> None:
        """Drift was recorded: something must have gone astray there."""
        if drift.host not in self.tainted:
            raise Violation(f"drift is reported of {drift.host}, although nothing went astray there")

    def patrol_saw(self, run: Run, host: SimHost) -> None:
        """A patrol has looked at a host."""
        if self.on_drift is not None and self._drift(host) is not None:
            self.on_drift(run, host)

    def patrol_kept(self, run: Run, host: HostName) -> None:
        """A patrol has recorded what it found."""
        if self.on_kept is not None:
            self.on_kept(run, self.hosts[host])

    def patrolled(self) -> bool:
        """Tell whether a patrol has seen every host as it will stay."""
        quiet = max(self.last_effect, self.world.healed_at + LONGEST_DELAY)
        ends = [record.ended_at for record in self.store.records.values() if record.ended_at is not None]
        return not self.store.looks or self.patrolled_at > max([quiet, *ends])

    def heard(self, what: str, record: Record, host: HostName | None) -> None:
        if self.world.tracing:
            self.world.log(what, record.id, host or record.state)
        self.courses[record.id].moved()
        if what == "decided":
            self._decided(record)
        elif what == "restored" and host is not None:
            self._must_hold(host, self.before[record.id][host], "it was recorded as restored")
        elif what == "abandoned" and host is not None:
            self.tainted.add(host)
            self.abandoned.add(host)
        elif what == "ended":
            self._ended(record)
        elif what == "wave":
            self._opened(record)
        elif what == "gate" and host is None:
            self.world.note("rounds of the gate")

    def _opened(self, record: Record) -> None:
        assert record.waves is not None
        self.world.note("waves opened")
        for host in opened(record, self.world.now):
            self._must_hold(host, self.hosts[host].asked(record), f"wave {record.waves.wave} opened")

    def _decided(self, record: Record) -> None:
        if record.id in self.decisions or record.decision is None:
            raise Violation(f"{record.id} was decided twice")
        self.decisions[record.id] = record.decision
        self.courses[record.id].decided()
        if record.decision is Decision.COMMIT:
            for host in record.steps:
                self._must_hold(host, self.hosts[host].asked(record), "the operation was committed")
            if record.waves is not None:
                committed(record, self.world.now)
        elif any(run.begun_forward and run.message.operation == record.id for run in self.running):
            self.world.hit(Row.IN_FLIGHT)

    def _ended(self, record: Record) -> None:
        self.courses[record.id].check()
        for host, step in record.steps.items():
            if record.waves is not None and step.wave > record.waves.wave:
                not_asked(record, host)
            if step.open_attempts():
                raise Violation(f"{record.id} ended with an open attempt on {host}")
            if record.decision is Decision.COMMIT:
                self.expected[host] = self.hosts[host].asked(record)
            elif step.undo is Undo.NEEDED:
                raise Violation(f"{record.id} ended with {host} still to be restored")
            self._must_hold(host, self.expected[host], f"{record.id} ended")
            if record.content is not None:
                continue  # the patrol knows groups alone
            if record.decision is Decision.COMMIT:
                self.left[host] = record.target
            elif step.before is not None and step.undo is not Undo.ABANDONED and not record.repairs:
                self.left[host] = step.before

    def _must_hold(self, host: HostName, wanted: object, why: str) -> None:
        if host not in self.tainted and (wrong := self.hosts[host].unlike(wanted)) is not None:
            raise Violation(f"{host} {wrong} when {why}")

    def sent(self, write: Write) -> None:
        """A write's first byte is about to leave: its attempt must have been recorded before."""
        record = self.store.records[write.operation]
        if record.waves is not None and record.steps[write.host.name].wave > record.waves.wave:
            raise Violation(f"a write was sent to {write.host.name} before its wave opened")
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
        self.last_effect = self.world.now
        if write.stray:
            self.world.note("stray writes that took effect")
            self.tainted.add(host)
        if host in self.tainted:
            return
        record = self.store.records[write.operation]
        if record.ended:
            raise Violation(f"{write.action} of {record.id} took effect on {host} after its end")
        if write.host.undid_wrongly(write, record, self.before[record.id][host]):
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
            self.courses[record.id].check()
        if self.store.locks:
            raise Violation(f"locks are left: {self.store.locks}")
        for name, host in self.hosts.items():
            self._must_hold(name, self.expected[name], "all had ended")
            self._drift_is_mended(host)

    def _drift(self, host: SimHost) -> Presence | None:
        """What a host shows if that is not what was last left there."""
        found = Presence.PRESENT if host.holds else Presence.ABSENT
        return None if self.left.get(host.name, found) is found else found

    def _drift_is_mended(self, host: SimHost) -> None:
        """Every late write is repaired; what stays of an abandoned host is reported."""
        found = self._drift(host)
        known = host.name in [drift.host for drift in self.store.drifts()]
        if found is None:
            if known:
                raise Violation(f"{host.name} is still reported, although nothing is wrong with it")
            return
        self.world.note("drift on abandoned hosts")
        suspected = (host.name, found) in self.store.suspicions(GROUP)
        if suspected or host.name not in self.abandoned:
            raise Violation(f"{host.name} drifted, and is not repaired")
        if self.store.looks and not known:
            raise Violation(f"{host.name} drifted, and nobody is told")
