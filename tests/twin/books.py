"""What all operations of the twin share, and the rules that every transition uses."""

from __future__ import annotations

from collections.abc import Callable

from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import ReasonKind, UnknownFormat
from lockstep.worker.operation.host import Limits, Pause
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Loss,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Stage,
    State,
    Undo,
)
from lockstep.worker.operation.thing import ThingEnd
from lockstep.worker.operation.transitions import Phase, Progress
from tests.twin.limit import MemoryLimits
from tests.twin.record import FORMATS, SUCCEEDED, AttemptRecord, Record, StepRecord, Waves

MOST_DOUBLINGS = 10
Reason = tuple[HostName | None, ReasonKind | None, str]
Suspect = tuple[GroupId, HostName, Presence]
"""What a write of unknown fate would bring to a host."""


class Books(MemoryLimits):
    """The working state and what `record.lua`, `step.lua` and `rule.lua` are to the scripts."""

    def __init__(self, clock: Callable[[], Millis], limits: Limits) -> None:
        super().__init__(clock, limits)
        self.locks: dict[GroupId, OperationId] = {}
        self.left: dict[GroupId, dict[HostName, End]] = {}
        self.suspected: dict[Suspect, Millis] = {}
        self.looks: dict[GroupId, Millis] = {}
        self.contents: dict[GroupId, dict[HostName, ThingEnd]] = {}
        self.drifted: dict[tuple[GroupId, HostName], Drift] = {}
        self.gone: dict[OperationId, Loss] = {}
        self.dropped: set[OperationId] = set()
        self.leases: dict[str, Millis] = {}
        self.failed_jobs: dict[str, str] = {}
        self.paused: dict[HostName, Pause] = {}
        self.memory_used = 0.0
        """Share of the memory limit."""

    def heard(self, what: str, record: Record, host: HostName | None = None) -> None:
        """Called at every transition, as subscribers to the events channel would be; does nothing here."""

    def _load(self, operation: OperationId) -> Record | None:
        record = self.records.get(operation)
        if record is not None and record.format not in FORMATS:
            raise UnknownFormat(f"the record has format {record.format}")
        return record

    def _open_attempt(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptId, undo: bool, age: int
    ) -> Progress | None:
        """None if it is to be sent; else it waits for its turn."""
        self._progressed(record)
        busy = self._wait_for_place(record, host, step, attempt, undo, age)
        if busy is not None:
            self.heard("waits", record, host)
            return busy
        now, limits = self.clock(), self.limits
        send_by = Millis(now + limits.send_within)
        quiet = Millis(send_by + limits.call)
        step.attempts[attempt] = AttemptRecord(attempt, undo, now, send_by, quiet, not step.open_attempts())
        record.open.add(host)
        return None

    def _close_attempt(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptRecord, state: AttemptState
    ) -> None:
        attempt.state = state
        attempt.closed = self.clock()
        if state is not AttemptState.ABANDONED:
            self._give_back(record, host, attempt.id)
        if not step.open_attempts():
            record.open.discard(host)

    def _progressed(self, record: Record) -> None:
        record.progress_at = self.clock()
        record.resumed = 0

    def _set_outcome(
        self,
        record: Record,
        host: HostName,
        step: StepRecord,
        outcome: Outcome,
        reason: str | None = None,
        why: ReasonKind | None = None,
    ) -> None:
        self._leave(record, [host])
        step.outcome, step.reason, step.why = outcome, reason, why
        if record.waves is not None and outcome is Outcome.APPLIED:
            record.waves.changed += 1
        record.todo.discard(host)
        record.waits.pop(host, None)
        if outcome not in SUCCEEDED:
            record.failed += 1
            record.failure = record.failure or (host, why, str(reason))
        self._move_on(record)

    def _move_on(self, record: Record) -> None:
        """Move; what that opens is published by whoever asked."""
        self._move(record)
        opened = record.decision is None and self._unpublished(record)
        if opened and record.id not in self._called:
            self._called.append(record.id)

    def _move(self, record: Record) -> None:
        """The rule by which waves open and an operation is decided; it stands nowhere else."""
        if record.decision is not None:
            return
        if record.failed:
            self._decide(record, Decision.ROLL_BACK, record.failure)
        elif record.waves is not None:
            while self._step_on(record, record.waves):
                pass
        elif not record.todo:
            self._decide(record, Decision.COMMIT, None)
        elif self.clock() >= record.deadline_at:
            self._decide(record, Decision.ROLL_BACK, (None, ReasonKind.DEADLINE, ""))

    def _step_on(self, record: Record, waves: Waves) -> bool:
        """One step of an operation with waves; True if there may be another."""
        now = self.clock()
        until = waves.hold.until if waves.hold else None
        for at, why in ((waves.expires_at, ReasonKind.EXPIRED), (until, ReasonKind.HELD)):
            if at is not None and now >= at:
                self._decide(record, Decision.ROLL_BACK, (None, why, ""))
                return False
        match waves.stage:
            case Stage.WORKING | Stage.GATING if record.todo or waves.gating:
                if now >= record.deadline_at:
                    self._decide(record, Decision.ROLL_BACK, (None, ReasonKind.DEADLINE, ""))
                return False
            case Stage.WORKING:
                waves.stage = Stage.BAKING
                waves.note(self.clock(), "done", waves.wave)
                waves.bake_until = Millis(now + (waves.asked.bake if waves.changed else 0))
                return True
            case Stage.GATING:
                waves.stage = Stage.WAITING
                waves.note(self.clock(), "passed", waves.round)
                return True
            case Stage.BAKING if now < waves.bake_until:
                return False
            case Stage.BAKING if not waves.asked.gate:
                waves.stage = Stage.WAITING
                return True
        if waves.stage is Stage.WAITING and waves.hold is not None:
            return False
        if waves.stage is Stage.WAITING and waves.wave >= waves.last:
            self._decide(record, Decision.COMMIT, None)
        elif not self._held_by_pause(record, waves):
            self._open_round(record, waves) if waves.stage is Stage.BAKING else self._open_wave(record, waves)
        return False

    def _held_by_pause(self, record: Record, waves: Waves) -> bool:
        for host in self.paused:
            later = record.later.get(host)
            at_gate = waves.stage is Stage.BAKING and later is None and host in record.steps
            if at_gate or (waves.stage is Stage.WAITING and later == waves.wave + 1):
                if waves.hold is None:
                    waves.put_on_hold(self.clock(), f"the pause of {host}", f"{host} is paused")
                    self.heard("held", record)
                return True
        return False

    def _open_wave(self, record: Record, waves: Waves) -> None:
        waves.wave += 1
        waves.stage, waves.changed = Stage.WORKING, 0
        record.deadline_at = Millis(self.clock() + waves.deadline)
        record.todo = {host for host, wave in record.later.items() if wave == waves.wave}
        record.later = {host: wave for host, wave in record.later.items() if wave != waves.wave}
        self._progressed(record)
        waves.note(self.clock(), "wave", waves.wave)
        self.heard("wave", record)
        if waves.asked.hold and waves.wave < waves.last:
            waves.put_on_hold(self.clock(), "the operation", "it is held after each wave")

    def _open_round(self, record: Record, waves: Waves) -> None:
        waves.round += 1
        waves.stage = Stage.GATING
        record.deadline_at = Millis(self.clock() + waves.deadline)
        waves.gating = set(record.steps) - set(record.later)
        self._progressed(record)
        waves.note(self.clock(), "gate", waves.round)
        self.heard("gate", record)

    def _restore(self, record: Record, host: HostName, step: StepRecord) -> bool:
        if host not in record.undo:
            return False
        record.undo.discard(host)
        self._leave(record, [host])
        step.undo, step.reason, step.why = Undo.RESTORED, None, None
        record.waits.pop(host, None)
        self.heard("restored", record, host)
        return True

    def _decide(self, record: Record, decision: Decision, reason: Reason | None) -> None:
        record.decision = decision
        record.decided_at = self.clock()
        record.state = State.COMMITTED if decision is Decision.COMMIT else State.ROLLING_BACK
        record.reason = reason
        self._leave(record, record.queued.copy())
        record.waits.clear()
        self._progressed(record)
        self.heard("decided", record)

    def _phase(self, record: Record) -> tuple[Phase, set[HostName], str]:
        """What is to be done next, on which hosts, and the name under which it is published once."""
        match record.decision:
            case Decision.ROLL_BACK:
                return Phase.ROLLBACK, record.undo, Phase.ROLLBACK
            case Decision.COMMIT:
                return Phase.SETTLE, record.open, Phase.SETTLE
        waves = record.waves
        if waves is None:
            return Phase.FORWARD, record.todo, Phase.FORWARD
        if waves.stage is Stage.WORKING:
            return Phase.FORWARD, record.todo, f"forward:{waves.wave}"
        if waves.stage is Stage.GATING:
            return Phase.GATE, waves.gating, f"gate:{waves.round}"
        return Phase.WAIT, set(), ""

    def _unpublished(self, record: Record) -> bool:
        phase, _, label = self._phase(record)
        return phase is not Phase.WAIT and label != record.dispatched

    def _stale_at(self, record: Record) -> int:
        return int(record.progress_at + record.patience * 2 ** min(record.resumed, MOST_DOUBLINGS))

    def _due(self, record: Record) -> Millis | None:
        """When the sweep is to look at the operation: a function of the record, and of nothing else."""
        if record.ended:
            return None
        if self._unpublished(record):
            return Millis(0)
        waits = self._phase(record)[0] is Phase.WAIT
        at: list[int | None] = [] if waits else [*record.waits.values(), self._stale_at(record)]
        if record.decision is None:
            at.append(None if waits else record.deadline_at)
            at += self._ends_of_waiting(record.waves) if record.waves else []
        return Millis(min(each for each in at if each is not None))

    def _ends_of_waiting(self, waves: Waves) -> list[int | None]:
        hold = waves.hold
        bakes = waves.stage is Stage.BAKING and not (hold and self.clock() >= waves.bake_until)
        return [waves.bake_until if bakes else None, hold.until if hold else None, waves.expires_at]

    def _suspect(self, record: Record, host: HostName, attempt: AttemptRecord) -> None:
        brings = Presence.PRESENT if attempt.undo is (record.action is Action.DELETE) else Presence.ABSENT
        now = self.clock()
        self.suspected[record.group, host, brings] = now
        self.looks[record.group] = min(now, self.looks.get(record.group, now))
