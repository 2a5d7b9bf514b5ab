"""The fault table of the protocol as rows to be counted, and how often each kind of fault is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TypeVar

from lockstep.worker.operation.model import GroupId

GROUP = GroupId("g")

T = TypeVar("T")


class Row(Enum):
    """One row of the protocol's fault table."""

    BEFORE_ACCEPT = "producer dies before accept"
    UNPUBLISHED = "after accept, before the chord is published, or half way through"
    MESSAGE = "message lost / delivered twice"
    BEFORE_BEGIN = "worker killed before begin"
    BEFORE_WRITE = "after begin, before the write"
    BEFORE_ANSWER = "after the write, before the answer"
    BEFORE_FINISH = "after a 201, before finish"
    BEFORE_PUBLISHING = "after a decision to roll back, before its rollback is published"
    DECIDE_RACES = "two callbacks, sweeps or cancels, of which one decides or claims"
    IN_FLIGHT = "decision to roll back while a forward step is in flight"
    IN_ROLLBACK = "killed inside rollback"
    DOWN_FORWARD = "host down during forward"
    DOWN_AN_HOUR = "host down for an hour during rollback"
    REDIS_RESTARTED = "Redis killed, restarted from its AOF"
    REDIS_FROZEN = "Redis frozen 30 s"
    WORKER_FROZEN = "worker frozen past the visibility timeout, then woken"
    INVENTORY = "an inventory that lacks a host or points it elsewhere"
    TWO_BEATS = "two beats"
    TOO_LATE = "a write lands later than A1 allows"
    CANCEL_COMMITTED = "cancel after commit"


class Fate(Enum):
    """What becomes of one call or message."""

    OK = auto()
    CRASH = auto()
    # the store
    GONE_BEFORE = auto()
    GONE_AFTER = auto()
    GONE_LATER = auto()
    TWICE = auto()
    # a host
    ERROR = auto()
    ERROR_AFTER = auto()
    TIMEOUT = auto()
    TIMEOUT_AFTER = auto()
    RESET = auto()
    RESET_AFTER = auto()
    NOT_SENT = auto()
    FORBIDDEN = auto()
    BAD_REQUEST = auto()
    RETRY_AFTER = auto()
    REDIRECT = auto()
    REDIRECT_AFTER = auto()
    REDIRECT_LATE = auto()
    ODD_BODY = auto()
    OVERSIZED = auto()
    STOPPING = auto()
    LATE = auto()
    TOO_LATE = auto()
    CRASH_SENT = auto()
    CRASH_LATE = auto()
    FROZEN_AFTER_GUARD = auto()
    # a message
    LOST = auto()
    DOUBLED = auto()
    SKIPPED = auto()


Draw = tuple[Fate, int]
"""A fate, and the milliseconds that pass before it."""
SIZE = 160
PAST_SEND_BY = 6_000
PAST_VISIBILITY = 100_000
QUICK: Sequence[Draw] = [(Fate.OK, ms) for ms in (1, 1, 1, 2, 2, 3, 5, 8, 40)]
SLOW: Sequence[Draw] = [(Fate.OK, ms) for ms in (400, 3_000, PAST_SEND_BY, PAST_VISIBILITY)]


def tables(faults: Sequence[T], fine: Sequence[T], *storm: T) -> tuple[tuple[T, ...], ...]:
    """Return what to draw from when nothing goes wrong, little, much, and half of the time the same thing."""
    tables = []
    for bad in (
        [],
        list(faults),
        list(faults) * 3,
        list(storm or faults[:1]) * (SIZE // 2 // len(storm or "1")),
    ):
        most = (list(fine) * SIZE)[: SIZE - len(bad)]
        tables.append((fine[0], *most[1:], *bad))
    return tuple(tables)


STORE = tables(
    [
        (Fate.CRASH, 1),
        (Fate.CRASH, 2),
        (Fate.GONE_BEFORE, 1),
        (Fate.GONE_AFTER, 1),
        (Fate.GONE_LATER, 1),
        (Fate.TWICE, 2),
        *SLOW,
    ],
    QUICK,
    (Fate.TWICE, 1),
    (Fate.OK, 200),
    (Fate.OK, 3_000),
)
CLOCK = tables([(Fate.CRASH, 0), (Fate.OK, 50), *SLOW], [(Fate.OK, 0)])
WRITE = tables(
    [
        *SLOW,
        (Fate.CRASH, 1),
        (Fate.ERROR, 2),
        (Fate.ERROR_AFTER, 2),
        (Fate.TIMEOUT, 1),
        (Fate.TIMEOUT_AFTER, 1),
        (Fate.RESET, 1),
        (Fate.RESET_AFTER, 1),
        (Fate.NOT_SENT, 1),
        (Fate.FORBIDDEN, 1),
        (Fate.BAD_REQUEST, 1),
        (Fate.RETRY_AFTER, 1),
        (Fate.REDIRECT, 1),
        (Fate.REDIRECT_AFTER, 1),
        (Fate.REDIRECT_LATE, 1),
        (Fate.ODD_BODY, 1),
        (Fate.LATE, 1),
        (Fate.LATE, 4_000),
        (Fate.TOO_LATE, 1),
        (Fate.CRASH_SENT, 1),
        (Fate.CRASH_LATE, 1),
        (Fate.FROZEN_AFTER_GUARD, 1),
    ],
    QUICK,
    (Fate.LATE, 1),
    (Fate.LATE, 40),
    (Fate.CRASH_LATE, 1),
    (Fate.RESET_AFTER, 1),
)
LOOK = tables(
    [
        *SLOW,
        (Fate.CRASH, 1),
        (Fate.ERROR, 1),
        (Fate.ERROR, 2),
        (Fate.TIMEOUT, 1),
        (Fate.RESET, 1),
        (Fate.NOT_SENT, 1),
        (Fate.FORBIDDEN, 1),
        (Fate.RETRY_AFTER, 1),
        (Fate.OVERSIZED, 1),
        (Fate.STOPPING, 1),
    ],
    QUICK,
    (Fate.OK, 20),
    (Fate.OK, 900),
    (Fate.ERROR, 1),
)
MESSAGE = tables(
    [
        (Fate.LOST, 1),
        (Fate.LOST, 2),
        (Fate.DOUBLED, 1),
        (Fate.DOUBLED, 300),
        (Fate.CRASH, 1),
        (Fate.OK, 2_000),
        (Fate.OK, 20_000),
    ],
    QUICK,
    (Fate.DOUBLED, 1),
    (Fate.DOUBLED, 30),
    (Fate.OK, 700),
)
CRAWLING: Sequence[Draw] = [(Fate.OK, ms) for ms in (1, 40, 400, 900, 3_000, 4_500)]
"""Nothing fails, but what was seen may be old by the time it is recorded."""
LANDING: Sequence[Draw] = [*CRAWLING, *[(Fate.LATE, 1)] * 4, *[(Fate.FORBIDDEN, 4_500)] * 2]
"""Some writes land unseen, perhaps just before the next one arrives; others are refused rather late."""
SWEEP = tables([(Fate.SKIPPED, 0), (Fate.DOUBLED, 0), (Fate.CRASH, 0)], [(Fate.OK, 0)])
