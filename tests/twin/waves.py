"""The twin's transitions for waves: hold, promote, and what the gate has seen."""

from __future__ import annotations

from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import AttemptId, HostName, Millis, OperationId, Stage
from lockstep.worker.operation.transitions import HoldAnswer, Refusal
from lockstep.worker.operation.waves import HOLD_MOST, GateVerdict, Health, Rollout
from tests.twin.after import AfterDecision
from tests.twin.record import WAVED, GateRecord, Record, Waves


class MemoryWaves(AfterDecision):
    """Transitions that only an operation with waves has."""

    hold_most = HOLD_MOST

    def _with_waves(self, record: Record, rollout: Rollout, deadline: int) -> None:
        expires = None if rollout.within is None else Millis(record.created_at + rollout.within)
        record.format, record.dispatched = WAVED, "forward:1"
        record.waves = waves = Waves(rollout, deadline, expires, hold_most=self.hold_most)
        record.later = {host: wave for host, wave in rollout.waves.items() if wave > 1}
        record.todo -= set(record.later)
        if rollout.hold and waves.last > 1:
            waves.put_on_hold(self.clock(), "the operation", "it is held after each wave")

    def hold(self, operation: OperationId, who: str, why: str) -> HoldAnswer | Refusal:
        """Keep an operation from going further than the wave at work."""
        record = self._load(operation)
        if record is None:
            return Refusal.UNKNOWN
        if record.decision is not None:
            return Refusal(record.decision.value)
        if record.waves is None:
            return Refusal.NO_WAVES
        hold = record.waves.put_on_hold(self.clock(), who, why)
        self.heard("held", record)
        return HoldAnswer(hold.number, record.waves.wave, record.waves.stage)

    def promote(self, operation: OperationId, number: int, by: str = "") -> Refusal | None:
        """Release the hold of this number, and no other; None if that was done now. `by`: who, and why."""
        record = self._load(operation)
        if record is None:
            return Refusal.UNKNOWN
        if record.decision is not None:
            return Refusal(record.decision.value)
        waves = record.waves
        if waves is None or not waves.hold_no:
            return Refusal.FREE
        if number <= waves.released_no:
            return Refusal.ALREADY
        if number != waves.hold_no:
            return Refusal.OTHER
        waves.released_no, waves.hold = number, None
        if waves.stage is Stage.WAITING and waves.asked.gate:
            waves.stage, waves.bake_until = Stage.BAKING, self.clock()
        waves.note(self.clock(), "released", number, by)
        self.heard("released", record)
        self._progressed(record)
        self._move_on(record)
        self._end_if_done(record)
        return None

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
        record = self._load(operation)
        waves = record.waves if record is not None and record.decision is None else None
        if record is None or waves is None or waves.round != number or host not in waves.gating:
            return GateVerdict.IGNORED
        step = record.steps[host]
        if step.gate is None or step.gate.round != number:
            step.gate = GateRecord(number)
        gate = step.gate
        if gate.id == look:
            return GateVerdict.AGAIN
        gate.id, gate.at, gate.said = look, self.clock(), said
        failed = health is Health.CHANGED
        if health is Health.WELL:
            waves.gating.discard(host)
        elif health is Health.UNWELL and sent_at >= gate.sent + 1000:
            gate.unwell, gate.sent = gate.unwell + 1, sent_at
            failed = gate.unwell >= 3
        if failed:
            record.failed += 1
            record.failure = record.failure or (host, ReasonKind.GATE, said)
        self._progressed(record)
        self.heard("gate", record, host)
        self._move_on(record)
        self._end_if_done(record)
        return (
            GateVerdict.PASSED
            if health is Health.WELL
            else GateVerdict.FAILED
            if failed
            else GateVerdict.AGAIN
        )
