"""What every step works with, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lockstep.worker.operation.answer import WriteAnswer, Wrote
from lockstep.worker.operation.model import Backoff, GroupId, HostName, Limits, OperationId, Presence
from lockstep.worker.operation.ports import Clock, HostApi, Transitions
from lockstep.worker.operation.transitions import Verdict

NOT_IN_INVENTORY = "this worker's inventory lacks the host"
NO_RECORD = "no record of this operation"
ELSEWHERE = "this worker's inventory has another URL for the host"


class Next(StrEnum):
    """What is to become of a task after its step."""

    DONE = "done"
    FAILED = "failed"
    """The step failed for good, so its operation is rolled back: `conclude` is to run at once."""
    ABORTED = "aborted"
    AGAIN = "again"
    """Run the step again after `delay` seconds."""
    LATER = "later"
    """The wait is kept in the record; the sweep comes back to it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step came to; `text` is for people."""

    next: Next
    text: str
    delay: float = 0.0
    outcome: str = ""
    """One word of a few, to be counted by; empty if `next` says it."""
    story: str | None = None
    """What happened to the host, where the step knows it without asking the record."""


def nobody(_: HostName, __: str | None) -> HostApi | None:
    """Know no host."""
    return None


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps work with."""

    store: Transitions
    host: Callable[[HostName], HostApi | None]
    clock: Clock
    limits: Limits
    forward_backoff: Backoff
    rollback_backoff: Backoff
    retry_after_cap: float
    """Seconds."""
    host_to_apply: Callable[[HostName], HostApi | None] | None = None
    """Hosts as forward steps see them: one that does not answer is spared. None: as the other steps do."""
    host_as: Callable[[HostName, str | None], HostApi | None] = nobody
    """Asked when this worker does not know a host as the record does: reads the inventory anew, and returns
    the host that has this fingerprint, or had it until lately (None: whatever it is)."""

    @property
    def send_within(self) -> float:
        """Seconds from the opening of an attempt in which its write may leave."""
        return self.limits.send_within / 1000

    @property
    def longest_countdown(self) -> float:
        """Seconds; a longer wait is kept in the record."""
        return self.limits.longest_countdown / 1000


def wait(parts: Parts, operation: OperationId, host: HostName, delay: float, reason: str) -> Result:
    """Come back after `delay` seconds: by a Celery countdown if short, else by the record and the sweep."""
    if delay <= parts.longest_countdown:
        return Result(Next.AGAIN, reason or "trying again", delay)
    parts.store.postpone(operation, host, round(delay * 1000), reason)
    return Result(Next.LATER, f"waits {delay:.0f} s in the record")


def verdict_of(api: HostApi, group: GroupId, wanted: Presence, said: WriteAnswer) -> Verdict:
    """Turn a write's answer into a verdict; a contested one is looked into with a GET."""
    match said.wrote:
        case Wrote.APPLIED:
            return Verdict.UNSHOWN if said.shows_after else Verdict.APPLIED
        case Wrote.REFUSED:
            return Verdict.REFUSED
        case Wrote.NOT_APPLIED:
            return Verdict.NOT_APPLIED
        case Wrote.MISDIRECTED:
            return Verdict.MISDIRECTED
        case Wrote.UNKNOWN:
            return Verdict.UNKNOWN
    shown = api.probe(group).presence
    if shown is None:
        return Verdict.NOT_APPLIED  # the host answered that it did nothing; the next GET tells why
    return Verdict.ALREADY if shown is wanted else Verdict.CONTESTED
