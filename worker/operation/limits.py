"""The times by which an operation is carried out, and how long it waits between tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: drawn evenly from 0 to min(cap, base * 2**n)."""

    base: float
    cap: float

    def ceiling(self, failures: int) -> float:
        """Return the longest delay in seconds after so many failures in a row (counted from 1)."""
        exponent = min(max(failures, 1) - 1, 32)
        return min(self.cap, self.base * 2.0**exponent)

    def delay(self, failures: int, jitter: float) -> float:
        """Return the delay in seconds; `jitter` is a random number in [0, 1) that the caller drew."""
        return self.ceiling(failures) * jitter


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """How many writes a host takes from all workers together, or all hosts take; None for any number."""

    at_once: int | None = None
    a_second: float | None = None

    def kept(self) -> str:
        """Return it as the record keeps it."""
        return f"{self.at_once or '-'} {f'{self.a_second:g}' if self.a_second else '-'}"


NAMED_AFTER = 5
"""Tries in a row that brought nothing, after which a host that is to be restored is named as stalled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in milliseconds; the defaults and their reasons are in `lockstep.worker.settings`."""

    send_within: int
    """A write may leave for its host so long after its attempt was opened."""
    call: int
    """The longest that one HTTP call may take, all in all."""
    settle: int
    """A host that answers a GET has finished every request older than this."""
    patience: int
    """An operation without progress for so long is resumed by the sweep; doubles each time."""
    longest_countdown: int
    """A longer wait is kept in the record instead of a Celery countdown."""
    host_patience: int
    """A host without a usable answer for so long is given up, while its operation is undecided."""
    memory_watermark: float = 0.8
    """The share of Redis' maxmemory from which on new operations are refused."""
    replicas: int = 0
    """So many replicas of Redis must have what a write to a host, or an answer to somebody, rests on."""
    replicas_within: int = 1000
