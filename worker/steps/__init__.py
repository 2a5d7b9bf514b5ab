"""The steps of the protocol, in plain Python over a store, hosts and a clock that are passed in.

Nothing here raises for what a host does: every function returns a small value, and the record holds the rest.
"""

from lockstep.worker.steps.apply import Next, Parts, Result, forward, nobody, raised
from lockstep.worker.steps.gate import gate, gate_raised
from lockstep.worker.steps.patrol import PatrolResult, PatrolStore, PatrolTimes, patrol
from lockstep.worker.steps.rollback import raised_later, rollback, settle

__all__ = [
    "Next",
    "Parts",
    "PatrolResult",
    "PatrolStore",
    "PatrolTimes",
    "Result",
    "forward",
    "gate",
    "gate_raised",
    "nobody",
    "patrol",
    "raised",
    "raised_later",
    "rollback",
    "settle",
]
