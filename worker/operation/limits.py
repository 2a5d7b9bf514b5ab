"""The times by which an operation is carried out, and how long it waits between tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show


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


LIMITS = ("max_writes_at_once", "writes_per_second")
"""As an inventory and the settings name them."""
MOST_AT_ONCE = 10_000
ALL_HOSTS = "*"
"""Stands for the name of a host in a limit for all hosts together."""


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """How many writes a host takes from all workers together, or all hosts take; None for any number."""

    at_once: int | None = None
    a_second: float | None = None

    @classmethod
    def read(cls, where: str, given: Mapping[object, object]) -> WriteLimit:
        """Read what an inventory or the settings say. Raises InvalidInput, which names `where` that is."""
        at_once, a_second = (given.get(name) for name in LIMITS)
        if not (at_once is None or (type(at_once) is int and 1 <= at_once <= MOST_AT_ONCE)):
            rule = f"give a whole number from 1 to {MOST_AT_ONCE}"
            raise InvalidInput(f"{where} max_writes_at_once {show(at_once)}: {rule}")
        if a_second is None:
            return cls(at_once)
        if not isinstance(a_second, int | float) or a_second is True or not 0.01 <= a_second <= 1000:
            raise InvalidInput(f"{where} writes_per_second {show(a_second)}: give a number from 0.01 to 1000")
        return cls(at_once, a_second)

    def __bool__(self) -> bool:
        """Tell whether it bounds anything."""
        return self.at_once is not None or self.a_second is not None

    def over(self, default: WriteLimit) -> WriteLimit:
        """Return it with what a default says where it says nothing."""
        return WriteLimit(self.at_once or default.at_once, self.a_second or default.a_second)

    def kept(self) -> str:
        """Return it as the record keeps it."""
        return f"{self.at_once or '-'} {f'{self.a_second:g}' if self.a_second else '-'}"


UNLIMITED = WriteLimit()
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
