"""A spell in which a host that does not answer is spared."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import HostName, Millis


@dataclass(frozen=True, slots=True)
class Spell:
    """A host is sent no forward looks, for so many in a row brought nothing."""

    host: HostName
    since: Millis
    until: Millis
    failures: int
    why: str
    """What came of the last one."""

    def text(self, left: int) -> str:
        """One clause for people; `left` is in milliseconds."""
        return spared_text(left / 1000, self.failures, self.why)


def spared_text(left: float, failures: int, why: str) -> str:
    """Say for how many seconds more a host is spared, and why."""
    lasts = f"for {left:.0f} s" if left > 0 else "until one look has found out whether it answers"
    return f"spared {lasts}: {failures} looks in a row failed ({why})"
