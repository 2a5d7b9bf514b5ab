"""Giving up on a host that will never return, wherever it is waited for."""

from __future__ import annotations

from collections.abc import Iterable

from lockstep.producer.errors import AbandonRefused
from lockstep.producer.handle import Operation
from lockstep.producer.naming import parse_note
from lockstep.worker.operation.errors import InvalidInput, RecordGone
from lockstep.worker.operation.names import show


def abandon(host: str, reason: str, unended: Iterable[Operation]) -> tuple[Operation, ...]:
    """Give up on the host in each of the operations in which something is pending there; return these."""
    parse_note("reason", reason)
    given_up = []
    for operation in unended:
        try:
            operation.abandon(host, reason)
        except (AbandonRefused, InvalidInput, RecordGone):
            continue  # nothing is pending there, or the host is no part of it
        given_up.append(operation)
    if not given_up:
        raise AbandonRefused(
            f"host {show(host)} cannot be abandoned: no decided operation has anything left to restore or to "
            "settle there; an undecided one is to be cancelled first"
        )
    return tuple(given_up)
