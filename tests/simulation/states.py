"""What of a moment counts as a state: hosts, records and processes, without ids and times.

Hosts that are alike are one, as in the model; here each comes with its steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.twin.record import NO_TRACE, Record, StepRecord

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger


def standing(ledger: Ledger) -> object:
    """Return it in a form whose `repr` is the same for the same state."""
    records = ledger.store.records.values()
    at_work = sorted(
        (run.message.kind, len(run.message.hosts), run.stage.name, run.froze) for run in ledger.running
    )
    places = sorted(
        repr((host.standing, host.down, [_step(each.steps[name]) for each in records if name in each.steps]))
        for name, host in ledger.hosts.items()
    )
    return places, [_record(each) for each in records], at_work


def _record(record: Record) -> tuple[object, ...]:
    waves = record.waves
    stage = (str(waves.stage), waves.wave, waves.hold is not None) if waves else ()
    action = record.content.verb if record.content else str(record.action)
    return (action, str(record.decision), record.ended, str(record.dispatched), stage)


def _step(step: StepRecord) -> tuple[object, ...]:
    tries = sorted(
        (each.undo, str(each.state), each.probed is not None, each.clean) for each in step.attempts.values()
    )
    trace = step.trace
    if trace == NO_TRACE:
        return (str(step.before), str(step.outcome), str(step.undo), tries)
    known = [each is not None for each in (trace.was, trace.as_seen, trace.foreign, trace.restore_over)]
    return (known, trace.overwrote, str(step.outcome), str(step.undo), tries)
