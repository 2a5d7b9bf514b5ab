"""Why a step or an operation came to what it did: kept as host, kind and detail, told as a sentence."""

from __future__ import annotations

from enum import StrEnum


class Why(StrEnum):
    """The kind of a reason; one without a kind is told as its detail alone."""

    REFUSED = "refused"
    MISDIRECTED = "misdirected"
    UNREADABLE = "unreadable"
    """The host answers, but not so that it can be read."""
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


def told(why: Why | None, detail: str) -> str:
    """Return a reason as it is shown beside its host: `refused (403)`, `GET 503`."""
    match why:
        case Why.REFUSED | Why.MISDIRECTED:
            return f"{why} ({detail})"
        case Why.NO_TIME:
            return f"{detail}; the deadline leaves no time for another try"
        case Why.DEADLINE:
            return "the deadline passed"
        case Why.CANCELLED:
            return f"cancelled by {detail}"
        case Why.GATE:
            return f"failed at the gate ({detail})"
        case Why.EXPIRED:
            return "it expired before every wave was done"
        case Why.HELD:
            return "it was held for too long"
        case Why.IGNORED:
            return f"said yes ({detail}), and changed nothing"
        case Why.FOREIGN:
            return f"was changed by somebody else: {detail}"
        case Why.OVERWROTE:
            return f"was overwritten ({detail}): somebody else had changed it since the look"
    return detail


SENTENCES = (Why.REFUSED, Why.MISDIRECTED, Why.GATE, Why.IGNORED, Why.FOREIGN, Why.OVERWROTE)
"""What is told of a host without a colon."""


def told_of(host: str | None, why: Why | None, detail: str) -> str:
    """Return a reason as it is shown for an operation: `node4 refused (403)`, `node4: GET 503`."""
    text = told(why, detail)
    if host is None:
        return text
    return f"{host} {text}" if why in SENTENCES else f"{host}: {text}"
