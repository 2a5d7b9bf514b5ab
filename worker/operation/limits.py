"""The limits that the protocol's transitions work with."""

from __future__ import annotations

from dataclasses import dataclass

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
