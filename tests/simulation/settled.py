"""What a decision settles for good: its own words, and what the steps knew when it was made."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import AttemptId, HostName, Millis, Outcome, Presence, State
from tests.simulation.world import Violation
from tests.twin.record import SUCCEEDED, Record, StepRecord, Waves, allowed


@dataclass(frozen=True, slots=True)
class Known:
    """What a step knew at the decision."""

    before: Presence | None
    body: str | None
    was: str | None
    """The digest of a thing's content."""
    outcome: Outcome | None
    writes: frozenset[AttemptId]
    """The forward attempts that had been opened."""

    @classmethod
    def of(cls, step: StepRecord) -> Known:
        """Read it from a step."""
        writes = frozenset(each.id for each in step.attempts.values() if not each.undo)
        return cls(step.before, step.body, step.trace.was, step.outcome, writes)


class Course:
    """The course of one operation: its states, one allowed after another, and what its decision settled."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._state = State.APPLYING
        self._known: dict[HostName, Known] = {}

    def decided(self) -> None:
        """Keep what the steps know at this moment."""
        self._known = {host: Known.of(step) for host, step in self._record.steps.items()}

    def moved(self) -> None:
        """The record may have another state now. Raises Violation if it may not have this one."""
        old, new = self._state, self._record.state
        if new is not old and not allowed(old, new):
            raise Violation(f"{self._record.id} went from {old} to {new}")
        self._state = new

    def check(self) -> None:
        """Raise Violation if anything that was settled is no longer so."""
        name = self._record.id
        if self._record.state is not self._state:
            raise Violation(f"{name} is {self._record.state} all of a sudden")
        for host, then in self._known.items():
            now = Known.of(self._record.steps[host])
            if now.writes != then.writes:
                raise Violation(f"{name} opened a forward attempt on {host} after its decision")
            if now != then:
                raise Violation(f"{name} changed on {host} after its decision: {then}, now {now}")


def opened(record: Record, now: Millis) -> list[HostName]:
    """Return the hosts of the waves before the one that opens; raise Violation if it must not open yet."""
    assert record.waves is not None
    number, asked = record.waves.wave, record.waves.asked
    if record.decision is not None or held(record.waves):
        raise Violation(f"wave {number} of {record.id} opens although it is decided, or held")
    for host, step in record.steps.items():
        if step.wave > number:
            not_asked(record, host)
        elif step.wave < number and step.outcome not in SUCCEEDED:
            raise Violation(f"wave {number} of {record.id} opens before {host} is done")
        elif step.wave < number and asked.gate and (not step.gate or step.gate.round != record.waves.round):
            raise Violation(f"wave {number} of {record.id} opens before {host} was looked at")
    baked(record, number - 1, now)
    return [host for host, step in record.steps.items() if step.wave < number]


def committed(record: Record, now: Millis) -> None:
    """Raise Violation if an operation in waves is committed that must not be yet."""
    assert record.waves is not None
    if record.later or held(record.waves):
        raise Violation(f"{record.id} is committed although a wave is not open, or it is held")
    baked(record, record.waves.wave, now)


def held(waves: Waves) -> bool:
    """Tell whether there is a hold that nobody has released: by its number, whatever else became of it."""
    return waves.hold is not None or waves.hold_no > waves.released_no


def baked(record: Record, wave: int, now: Millis) -> None:
    """The bake of a wave counts from its last outcome, which comes after its last write was begun."""
    assert record.waves is not None
    steps = [each for each in record.steps.values() if each.wave == wave]
    changed = [step for step in steps if step.outcome is Outcome.APPLIED]
    begun = [each.opened for step in changed for each in step.attempts.values()]
    if begun and now < max(begun) + record.waves.asked.bake:
        raise Violation(f"wave {wave} of {record.id} was not baked")


def not_asked(record: Record, host: HostName) -> None:
    """Raise Violation if anything was done to a host whose wave is not open."""
    step = record.steps[host]
    seen = step.before is not None or step.trace.was is not None
    if seen or step.attempts or step.outcome is not None or step.misses:
        raise Violation(f"{record.id} did something on {host}, whose wave is not open")
