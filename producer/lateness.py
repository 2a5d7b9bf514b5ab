"""How late a write takes effect after its client has left, and what follows for `settle_seconds`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lockstep.producer.asking import holds
from lockstep.producer.findings import Finding, Level
from lockstep.producer.scratch import Scratch
from lockstep.worker.operation.model import Presence
from lockstep.worker.settings import Settings

HOLDS = (0.0, 0.1, 1.0)
"""Seconds for which the client stays after its last byte: it leaves before, or while, a host works on it."""
EACH = 3
"""Writes per stay; what a host does once it may not do always."""
MARGIN = 3
"""A handful of writes does not show the latest there can be."""
LOOK = 0.05
"""Seconds between two GETs at first, growing to a second."""


@dataclass(frozen=True, slots=True)
class LateWrite:
    """A write whose client left."""

    stayed: float
    """Seconds between its last byte and the end of the connection."""
    landed: float | None
    """Seconds after the end of the connection by which a GET showed it; None if none did."""
    trouble: str | None = None
    """Why it could not be sent."""


def measure(scratch: Scratch, watch: float) -> list[LateWrite]:
    """Send writes, leave, and GET each for up to `watch` seconds until it shows. All at the same time."""
    stays = [hold for hold in HOLDS for _ in range(EACH)]
    stopped = threading.Event()
    with ThreadPoolExecutor(len(stays), thread_name_prefix="lockstep") as pool:
        try:
            return list(pool.map(lambda hold: _one(scratch, hold, watch, stopped), stays))
        finally:
            stopped.set()  # an interrupt waits for nothing


def _one(scratch: Scratch, hold: float, watch: float, stopped: threading.Event) -> LateWrite:
    group = scratch.new_group()
    try:
        left = scratch.post_and_leave(group, hold)
    except OSError as error:
        return LateWrite(hold, None, str(error))
    pause = LOOK
    while True:
        shown = holds(scratch.get(group))
        passed = time.monotonic() - left
        if shown is Presence.PRESENT:
            return LateWrite(hold, passed)
        if passed >= watch or stopped.wait(min(pause, watch - passed)):
            return LateWrite(hold, None)
        pause = min(1.0, pause * 1.5)


def recommended(writes: Iterable[LateWrite], settings: Settings) -> int:
    """Return the smallest `settle_seconds` that these writes speak for."""
    latest = max((write.landed for write in writes if write.landed is not None), default=0.0)
    return math.ceil(max(settings.read_timeout, MARGIN * latest))


def on_late_writes(writes: list[LateWrite], watch: float, settings: Settings) -> list[Finding]:
    """Judge the writes, and `settle_seconds` by them."""
    subject = "late writes"
    unsent = [write for write in writes if write.trouble is not None]
    sent = len(writes) - len(unsent)
    if not sent:
        text = f"none could be sent: {unsent[0].trouble}"
        return [Finding(subject, Level.FAILURE, text, "see whether the host is up, and its URL")]
    landed = sorted(write.landed for write in writes if write.landed is not None)
    found = []
    if landed:
        text = f"{len(landed)} of {sent} took effect, the last {landed[-1]:.1f} s after its client had left"
        found.append(Finding(subject, Level.OK, text))
    if missing := sent - len(landed):
        text = f"{missing} of {sent} had no effect within {watch:g} s"
        if watch < settings.settle_seconds:
            found.append(
                Finding(subject, Level.WARNING, text, f"look longer: --watch {settings.settle_seconds:g}")
            )
        else:
            found.append(Finding(subject, Level.OK, f"{text}: they were given up, or take longer than this"))
    found.append(_on_setting(landed[-1] if landed else 0.0, recommended(writes, settings), settings))
    return found


def _on_setting(latest: float, wanted: int, settings: Settings) -> Finding:
    subject, now = "settle_seconds", settings.settle_seconds
    remedy = f"LOCKSTEP_SETTLE_SECONDS={wanted}, or more: docs/settings.md"
    if now <= latest:
        text = f"{now:g} is too short: a write landed {latest:.1f} s after its client had left"
        return Finding(subject, Level.FAILURE, text, remedy)
    if now < wanted:
        text = f"{now:g} leaves little room: {wanted} is {MARGIN} times the latest write that was seen"
        return Finding(subject, Level.WARNING, text, remedy)
    text = f"{now:g} is enough for what was seen; a proxy or node that may wait longer needs more"
    return Finding(subject, Level.OK, text)
