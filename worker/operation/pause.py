"""A pause: an operator keeps new operations off a host."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.operation.moment import local


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a host, when and why; operations that were accepted before go on."""

    host: HostName
    by: str
    at: Millis
    why: str

    @property
    def text(self) -> str:
        """One clause for people: who, since when, and why."""
        since = local(self.at)
        return f"paused by {self.by} since {since}: {self.why}"


def refusal(pause: Pause, others: int) -> str:
    """Say why an operation that needs this host, and so many other paused ones, is not begun."""
    more = f"; {others} more of its hosts are paused" if others else ""
    return (
        f'host "{pause.host}" is {pause.text}{more}; nothing was written, '
        f"`lockstep resume {pause.host}` ends the pause"
    )
