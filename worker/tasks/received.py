"""A message as a worker receives it: it waits by this worker's clock, and no longer than any countdown."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from celery.exceptions import InvalidTaskError
from celery.worker.request import Request

from worker.celery import WAIT, Lockstep

CLOCKS_APART = 5.0
"""Seconds by which the clock of a worker of an earlier release may be off: it sent an `eta` alone."""


class Received(Request):
    """A request without times by its sender's clock: `eta` is made anew from `wait`, and nothing expires.

    Raises InvalidTaskError when it is to wait for longer than any countdown: it would be held in memory, and
    is no message of ours.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        now = datetime.now(UTC)
        longest = cast(Lockstep, self.app).settings.backoff_cap
        wait = self.request_dict.get(WAIT)
        if wait is None:
            wait = (self.eta - now).total_seconds() if self.eta else 0.0
            longest += CLOCKS_APART
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not math.isfinite(wait):
            raise InvalidTaskError(f"{WAIT} is no number")
        if wait > longest:
            raise InvalidTaskError(f"it is to wait for {wait:.0f} s, longer than any countdown")
        # The timer counts on a monotonic clock, and takes the wall clock's time of this very moment from it.
        self._eta = now + timedelta(seconds=wait) if wait > 0 else None
        self._expires = None
        self.request_dict.update(eta=self._eta and self._eta.isoformat(), expires=None)
