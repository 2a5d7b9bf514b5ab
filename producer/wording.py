"""Hosts in sentences."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5
"""How many hosts are named before the rest is counted."""


def counted(hosts: int) -> str:
    """Return `1 host` or `3 hosts`."""
    return f"{hosts} host" if hosts == 1 else f"{hosts} hosts"


def named(hosts: Sequence[str]) -> str:
    """Name the first few hosts and count the others."""
    more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
    return ", ".join(hosts[:NAMED]) + more
