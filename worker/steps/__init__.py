"""The steps of the protocol, in plain Python over a store, hosts and a clock that are passed in.

Nothing here raises for what a host does: every function returns a small value, and the record holds the rest.
"""

from lockstep.worker.steps.apply import forward, raised
from lockstep.worker.steps.patrol import Beat, Patrolled, PatrolStore, patrol
from lockstep.worker.steps.result import Next, Parts, Result, nobody
from lockstep.worker.steps.rollback import rollback
from lockstep.worker.steps.settle import raised_later, settle

__all__ = [
    "Beat",
    "Next",
    "Parts",
    "PatrolStore",
    "Patrolled",
    "Result",
    "forward",
    "nobody",
    "patrol",
    "raised",
    "raised_later",
    "rollback",
    "settle",
]
