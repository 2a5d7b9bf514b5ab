"""Every error that callers of Lockstep can meet, and why a step or an operation came to what it did."""

from __future__ import annotations

from enum import StrEnum


class LockstepError(Exception):
    """Any error that Lockstep raises on purpose; its text is one line meant for people."""

    page = ""
    """The part of the runbook that says what to do, where there is one."""

    def __init__(self, what: str, remedy: str = "") -> None:
        """`what` is wrong; `remedy` says what mends it, where that is told apart."""
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy


class InvalidInput(LockstepError, ValueError):
    """A value breaks a rule; the text names the value, the rule and the remedy. Nothing was written."""


class UnknownOperation(InvalidInput):
    """No operation has this id (or its record was dropped by retention)."""


class RecordGone(LockstepError):
    """Redis has lost the record of an operation that was accepted. Hosts may have been changed."""

    page = "docs/operations.md#the-record-of-an-operation-is-gone"


class OperationIdReused(InvalidInput):
    """The operation id belongs to an operation with another action, group or set of hosts."""


class GroupBusy(LockstepError):
    """Another operation held the group's lock for the whole `lock_wait`. Nothing was stored."""


class CancelRefused(LockstepError):
    """The operation had been decided before it was cancelled."""


class HoldRefused(LockstepError):
    """The operation cannot be held or promoted: it is decided, has no waves, or somebody else holds it."""


class WaitTimeout(LockstepError):
    """The caller's timeout passed; the operation goes on."""


class StoreUnavailable(LockstepError):
    """Redis could not be reached, did not answer in time, or refuses to serve."""

    page = "docs/operations.md#redis-cannot-be-reached"


class StoreFull(LockstepError):
    """Redis is near its memory limit; new operations are refused so that running ones can end."""

    page = "docs/operations.md#redis-is-full"


class HostPaused(LockstepError):
    """An operator paused a host that the operation needs. Nothing was stored."""

    page = "docs/operations.md#a-host-that-needs-maintenance"


class HostUnavailable(LockstepError):
    """A host gave no usable answer to a GET."""

    page = "docs/operations.md#a-host-that-does-not-answer"


class UnknownFormat(LockstepError):
    """The record was written by a newer version; it is left as it is."""

    page = "docs/operations.md#old-workers-beside-new-ones"


class RecordDamaged(LockstepError):
    """Something in the record is not what it must be: somebody damaged it. It is left as it is."""

    page = "docs/operations.md#a-damaged-record"


class AbandonRefused(LockstepError):
    """The host is not pending in this operation: there is nothing to give up."""


class NotReady(HostUnavailable):
    """A host did not answer the preflight. Nothing was written."""


class ReasonKind(StrEnum):
    """The kind of a reason, which is kept as host, kind and detail; without a kind the detail tells all."""

    REFUSED = "refused"
    MISDIRECTED = "misdirected"
    UNREADABLE = "unreadable"
    """The host answers, but not so that it can be read."""
    SILENT = "silent"
    """No usable answer for as long as a host is waited for."""
    NO_TIME = "no_time"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    GATE = "gate"
    """The host did not pass the gate of a wave."""
    EXPIRED = "expired"
    HELD = "held"
    IGNORED = "ignored"
    """The host said yes, and changed nothing."""
    FOREIGN = "foreign"
    """Somebody else has changed it."""
    OVERWROTE = "overwrote"
    """A write took effect over something that no look had shown."""


SENTENCES = {
    ReasonKind.REFUSED: "refused ({})",
    ReasonKind.MISDIRECTED: "misdirected ({})",
    ReasonKind.GATE: "failed at the gate ({})",
    ReasonKind.IGNORED: "said yes ({}), and changed nothing",
    ReasonKind.FOREIGN: "was changed by somebody else: {}",
    ReasonKind.OVERWROTE: "was overwritten ({}): somebody else had changed it since the look",
}
"""What is told of a host without a colon."""
TOLD = SENTENCES | {
    ReasonKind.SILENT: "{}; no usable answer for too long",
    ReasonKind.NO_TIME: "{}; the deadline leaves no time for another try",
    ReasonKind.DEADLINE: "the deadline passed",
    ReasonKind.CANCELLED: "cancelled by {}",
    ReasonKind.EXPIRED: "it expired before every wave was done",
    ReasonKind.HELD: "it was held for too long",
}


def told(why: ReasonKind | None, detail: str) -> str:
    """Return a reason as it is shown beside its host: `refused (403)`, `GET 503`."""
    return TOLD[why].format(detail) if why in TOLD else detail


def told_of(host: str | None, why: ReasonKind | None, detail: str) -> str:
    """Return a reason as it is shown for an operation: `node4 refused (403)`, `node4: GET 503`."""
    text = told(why, detail)
    if host is None:
        return text
    return f"{host} {text}" if why in SENTENCES else f"{host}: {text}"
