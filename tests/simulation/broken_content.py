"""Stores that judge the content of things wrongly: the simulation must notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import AttemptId, HostName, Millis, OperationId, Outcome
from lockstep.worker.operation.thing import Likeness, ThingLook
from lockstep.worker.operation.transitions import Progress
from tests.simulation.ledger import WatchedStore


class BelievesAnAnswer(WatchedStore):
    """A host that said yes counts as having what is asked for, whatever a look would show."""

    def _finish_thing(
        self, operation: OperationId, host: HostName, attempt: AttemptId, effect: Effect, *rest: Any
    ) -> Progress:
        record = self.records[operation]
        step = record.steps[host]
        first = attempt in step.attempts and step.attempts[attempt].is_open
        if first and effect is Effect.APPLIED and record.decision is None and step.outcome is None:
            self._set_outcome(record, host, step, Outcome.APPLIED)
        return super()._finish_thing(operation, host, attempt, effect, *rest)


class LearnsAgainWhatWasThere(WatchedStore):
    """What the last look before the decision showed counts as what was there before."""

    def shown(
        self, operation: OperationId, host: HostName, url: str, look: ThingLook, *rest: Any
    ) -> Progress:
        record = self.records[operation]
        step = record.steps[host]
        if record.decision is None and step.outcome is None and step.landed:
            record.texts[look.digest] = look.text
            step.trace = replace(step.trace, was=look.digest)
        return super().shown(operation, host, url, look, *rest)


class UndoesThirdHands(WatchedStore):
    """What a third hand made is undone as if it were ours."""

    def restore(
        self,
        operation: OperationId,
        host: HostName,
        url: str,
        sent_at: Millis,
        open_before: int,
        look: ThingLook,
        attempt: AttemptId,
    ) -> Progress:
        seen = replace(look, shows=Likeness.LIKE) if look.shows is Likeness.OTHER else look
        return super().restore(operation, host, url, sent_at, open_before, seen, attempt)


CONTENT: tuple[type[WatchedStore], ...] = (BelievesAnAnswer, LearnsAgainWhatWasThere, UndoesThirdHands)
