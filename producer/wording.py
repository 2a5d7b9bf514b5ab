"""Numbers, hosts and durations in sentences."""

from __future__ import annotations

from collections.abc import Sequence

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
