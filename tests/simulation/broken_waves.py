"""Stores that open, hold or undo waves wrongly, or write too much at once: the simulation must notice."""

from __future__ import annotations

from typing import Any

from lockstep.worker.operation.model import Decision, HostName, OperationId, Stage
from lockstep.worker.operation.transitions import Progress
from tests.simulation.ledger import WatchedStore
from tests.twin.books import Reason
from tests.twin.record import AttemptRecord, Record, StepRecord, Waves


class BeginsBeforeItsWave(WatchedStore):
    """A host of a wave that is not open is written to."""

    def begin(self, operation: OperationId, host: HostName, *rest: Any, **named: Any) -> Progress:
        record = self.records[operation]
        later, record.later = record.later, {}
        said = super().begin(operation, host, *rest, **named)
        record.later = {each: wave for each, wave in later.items() if each not in record.todo}
        return said


class CommitsAfterItsFirstWave(WatchedStore):
    """An operation whose open wave is done is committed."""

    def _step_on(self, record: Record, waves: Waves) -> bool:
        if waves.stage is Stage.WAITING:
            self._decide(record, Decision.COMMIT, None)
            return False
        return super()._step_on(record, waves)


class HoldsNobody(WatchedStore):
    """A wave opens although somebody holds the operation."""

    def _step_on(self, record: Record, waves: Waves) -> bool:
        hold = waves.hold
        if waves.stage is Stage.WAITING:
            waves.hold = None
        went = super()._step_on(record, waves)
        waves.hold = waves.hold or hold
        return went


class SkipsTheBake(WatchedStore):
    """A bake is over at once."""

    def _step_on(self, record: Record, waves: Waves) -> bool:
        went = super()._step_on(record, waves)
        waves.bake_until = self.clock()
        return went


class UndoesTheWaveAtWork(WatchedStore):
    """A failure leaves the earlier waves changed."""

    def _decide(self, record: Record, decision: Decision, reason: Reason | None) -> None:
        if record.waves is not None:
            wave = record.waves.wave
            record.undo = {host for host in record.undo if record.steps[host].wave == wave}
        super()._decide(record, decision, reason)


class FreesThePlaceOfALostWrite(WatchedStore):
    """Another write goes to a host that may still be at work on the one that had no answer."""

    def _close_by(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptRecord, *rest: Any
    ) -> None:
        super()._close_by(record, host, step, attempt, *rest)
        self._give_back(record, host, attempt.id)


WAVES: tuple[type[WatchedStore], ...] = (
    BeginsBeforeItsWave,
    CommitsAfterItsFirstWave,
    HoldsNobody,
    SkipsTheBake,
    UndoesTheWaveAtWork,
    FreesThePlaceOfALostWrite,
)
