"""The protocols that a store keeps, and the values that pass between it and its callers."""

from lockstep.worker.store.base.answers import (
    Abandoned,
    Accepted,
    Busy,
    Cancelled,
    Forward,
    Miss,
    Order,
    Progress,
    Request,
    Settled,
    Stale,
    Taker,
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
    "Ends",
    "Forward",
    "Miss",
    "Order",
    "Progress",
    "Request",
    "Settled",
    "Stale",
    "Store",
    "Taker",
    "Transitions",
    "Undoing",
    "Verdict",
    "View",
]
