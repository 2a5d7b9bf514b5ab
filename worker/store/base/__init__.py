"""The protocols that a store keeps, and the values that pass between it and its callers."""

from lockstep.worker.store.base.answers import (
    Abandoned,
    Accepted,
    Busy,
    Cancelled,
    Claim,
    Forward,
    Miss,
    Order,
    Phase,
    Progress,
    Request,
    Settled,
    Stale,
    Undoing,
    Verdict,
    View,
)
from lockstep.worker.store.base.ends import Ends
from lockstep.worker.store.base.protocol import Store, Transitions

__all__ = [
    "Abandoned",
    "Accepted",
    "Busy",
    "Cancelled",
    "Claim",
    "Ends",
    "Forward",
    "Miss",
    "Order",
    "Phase",
    "Progress",
    "Request",
    "Settled",
    "Stale",
    "Store",
    "Transitions",
    "Undoing",
    "Verdict",
    "View",
]
