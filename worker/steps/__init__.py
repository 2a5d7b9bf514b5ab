"""The steps of the protocol, in plain Python over a store, hosts and a clock that are passed in.

Nothing here raises for what a host does: every function returns a small value, and the record holds the rest.
"""

from lockstep.worker.steps.apply import KindOf, Next, Parts, Result, forward, no_kind, nobody, raised
from lockstep.worker.steps.looks import PatrolResult, PatrolStore, PatrolTimes, gate, gate_raised, patrol
from lockstep.worker.steps.rollback import raised_later, rollback, settle

__all__ = [
    "KindOf",
    "Next",
    "Parts",
    "PatrolResult",
    "PatrolStore",
    "PatrolTimes",
    "Result",
    "forward",
    "gate",
    "gate_raised",
    "no_kind",
    "nobody",
    "patrol",
    "raised",
    "raised_later",
    "rollback",
    "settle",
]
