"""Numbers, hosts and durations in sentences."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Millis
from lockstep.worker.operation.names import show

NAMED = 5
"""How many hosts are named before the rest is counted."""


def counted(number: int, what: str = "host") -> str:
    """Return `1 host` or `3 hosts`, or as many of something else."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def named(hosts: Sequence[str]) -> str:
    """Name the first few hosts and count the others."""
    more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
    return ", ".join(hosts[:NAMED]) + more


def seconds(milliseconds: int) -> str:
    """Return a duration as people read it: 340 ms, 2.5 s, 1 min 5 s, 3 h 20 min."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    whole = milliseconds // 1000
    if whole < 60:
        return f"{milliseconds // 100 / 10:g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".replace(" 0 s", "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(noun: str, text: str, now: datetime) -> datetime:
    """Return the moment that a text means. Raises InvalidInput.

    Without an offset it is in the local zone; a time as it is shown, with that zone's name, is taken too.
    """
    ago = _AGO.fullmatch(text.strip())
    day, _, zone = text.strip().rpartition(" ")
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(day if zone in ("UTC", *time.tzname) else text.strip())
        utc = zone == "UTC" and found.tzinfo is None
        return found.replace(tzinfo=UTC) if utc else found.astimezone()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{noun} {show(text)} is no time: give 30m, 2h or 7d (ago), 2026-01-31, or 2026-01-31T12:00 in "
            "your time zone, or with an offset such as Z"
        ) from error


def millis_of(noun: str, at: datetime | None) -> Millis | None:
    """Return a moment as the record counts it. Raises InvalidInput for one without a time zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput(f"{noun} {at.isoformat()} has no time zone: give datetime.now(UTC) or the like")
    return Millis(round(at.timestamp() * 1000))
