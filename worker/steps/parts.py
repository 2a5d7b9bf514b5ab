"""What every step works with, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Concatenate, ParamSpec

from worker.operation.answer import WriteAnswer, Wrote
from worker.operation.backoff import Backoff
from worker.operation.limits import Limits
from worker.operation.model import GroupId, HostName, OperationId, Presence
from worker.operation.ports import Clock, Crowded, HostApi
from worker.store.base import Transitions, Verdict

P = ParamSpec("P")
NOT_IN_INVENTORY = "this worker's inventory lacks the host"
ELSEWHERE = "this worker's inventory has another URL for the host"


class Next(StrEnum):
    """What is to become of a task after its step."""

    DONE = "done"
    FAILED = "failed"
    """The step failed for good: the operation is decided, `conclude` is to run at once."""
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
    """Hosts as forward steps see them: one that does not answer is spared, and looks wait behind
    the calls of all other steps. None: as those see them."""

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


def in_turn(step: Callable[Concatenate[Parts, P], Result]) -> Callable[Concatenate[Parts, P], Result]:
    """Make a step run again soon, with nothing counted, when a look of it did not get its turn."""

    @wraps(step)
    def run(parts: Parts, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return step(parts, *args, **kwargs)
        except Crowded:
            return Result(
                Next.AGAIN, "waits for its turn", parts.forward_backoff.delay(1, parts.clock.jitter())
            )

    return run


def verdict_of(api: HostApi, group: GroupId, wanted: Presence, said: WriteAnswer) -> Verdict:
    """Turn a write's answer into a verdict; a contested one is looked into with a GET."""
    match said.wrote:
        case Wrote.APPLIED:
            return Verdict.APPLIED
        case Wrote.REFUSED:
            return Verdict.REFUSED
        case Wrote.NOT_APPLIED:
            return Verdict.NOT_APPLIED
        case Wrote.MISDIRECTED:
            return Verdict.MISDIRECTED
        case Wrote.UNKNOWN:
            return Verdict.UNKNOWN
    try:
        shown = api.probe(group).presence
    except Crowded:
        shown = None
    if shown is None:
        return Verdict.NOT_APPLIED  # the host answered that it did nothing; the next GET tells why
    return Verdict.ALREADY if shown is wanted else Verdict.REFUSED
