"""A point in time as people read it: in the local time of whoever reads, with its zone, or by its age."""

from __future__ import annotations

from datetime import datetime

from lockstep.worker.operation.model import Millis

UNITS = ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


def local(at: Millis) -> str:
    """Return a time to the second in the local zone: `2026-01-31 13:00:00 CET`."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def age(at: Millis, now: Millis) -> str:
    """Return how long ago, or ahead, a time is: `4 min ago`, `in 40 s`; the largest unit alone."""
    apart = abs(now - at)
    for unit, name in UNITS:
        if apart >= (2 * unit if name == "days" else unit):
            long = f"{apart // unit} {name}"
            return f"{long} ago" if at <= now else f"in {long}"
    return "just now"
