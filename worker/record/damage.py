"""What of the record is damaged: named with its remedy, to a caller who gathers it or in the log.

It needs no Redis, for the command gathers what is damaged from its start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from shlex import quote

log = logging.getLogger(__name__)
REMEDIES = {
    "operation": "docs/operations.md#a-damaged-record",
    "step": "docs/operations.md#a-damaged-record",
    "pause": "lockstep resume {field}, and pause it again",
    "last end": "lockstep create {group}, or delete: whichever is wanted",
}
"""What mends what; all else is written anew once it has been deleted."""


@dataclass(frozen=True, slots=True)
class Damage:
    kind: str
    key: str
    field: str
    """Of the hash under that key; an operation's id."""
    why: str
    """The field with its value, and what it must be."""

    @property
    def text(self) -> str:
        where = "" if self.kind == "operation" else f" in {self.key}"
        return f"the {self.kind} {self.field}{where} cannot be read, and is left as it is: {self.why}"

    @property
    def remedy(self) -> str:
        remedy = REMEDIES.get(self.kind, f"valkey-cli hdel {quote(self.key)} {quote(self.field)}")
        return remedy.format(field=self.field, group=self.key.rpartition(":")[2])


_noted: ContextVar[dict[Damage, None] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[dict[Damage, None]]:
    """Gather what is found damaged in this context, each once, instead of logging it."""
    found: dict[Damage, None] = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def note(damage: Damage) -> None:
    """Name something damaged to a caller who gathers it; else log it, once in a process."""
    found = _noted.get()
    if found is None:
        _log(damage)
    else:
        found[damage] = None


@lru_cache(maxsize=1000)
def _log(damage: Damage) -> None:
    log.warning("%s -> %s", damage.text, damage.remedy)
