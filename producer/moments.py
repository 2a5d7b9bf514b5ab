"""Points in time as people give them: 2h (ago), 2026-01-31, 2026-01-31T12:00Z."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Millis
from lockstep.worker.operation.names import show

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(noun: str, text: str, now: datetime) -> datetime:
    """Return the moment that a text means; without an offset it is UTC. Raises InvalidInput."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{noun} {show(text)} is no time: give 30m, 2h or 7d (ago), 2026-01-31 or 2026-01-31T12:00 (UTC)"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def millis_of(noun: str, at: datetime | None) -> Millis | None:
    """Return a moment as the record counts it. Raises InvalidInput for one without a time zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput(f"{noun} {at.isoformat()} has no time zone: give datetime.now(UTC) or the like")
    return Millis(round(at.timestamp() * 1000))
