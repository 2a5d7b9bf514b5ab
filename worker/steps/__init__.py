"""The steps of the protocol, in plain Python over a store, hosts and a clock that are passed in.

Nothing here raises for what a host does: every function returns a small value, and the record holds the rest.
"""

from worker.steps.forward import forward, raised
from worker.steps.looking import raised_later
from worker.steps.parts import Next, Parts, Result, nobody
from worker.steps.patrol import Beat, Patrolled, PatrolStore, patrol
from worker.steps.progress import conclude, resume
from worker.steps.rollback import rollback
from worker.steps.settle import settle

__all__ = [
    "Beat",
    "Next",
    "Parts",
    "PatrolStore",
    "Patrolled",
    "Result",
    "conclude",
    "forward",
    "nobody",
    "patrol",
    "raised",
    "raised_later",
    "resume",
    "rollback",
    "settle",
]
