"""How long to wait before trying again: exponential, capped, with full jitter."""

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
