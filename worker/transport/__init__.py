"""HTTP connections that stop a late write before its first byte, and that no call can outlast."""

from contextvars import ContextVar

from lockstep.worker.transport import direct
from lockstep.worker.transport.exchange import Answer, Exchange, Request, ShortBody
from lockstep.worker.transport.guard import Call, CallInProgress, TooLate

carrier: ContextVar[Exchange] = ContextVar("carrier", default=direct.exchange)
"""What carries the calls that are made in this context."""

__all__ = ["Answer", "Call", "CallInProgress", "Exchange", "Request", "ShortBody", "TooLate", "carrier"]
