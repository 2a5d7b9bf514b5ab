"""What of the record is damaged or gone: named with its remedy, to a caller who gathers it or in the log.

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

from lockstep.worker.operation.errors import RecordGone, UnknownOperation
from lockstep.worker.operation.model import GroupId, Loss, OperationId

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


def unknown(operation: OperationId, looks_like: str = "") -> UnknownOperation:
    """Return the error for an id that no record has."""
    why = looks_like or "no operation has it, its record was dropped with age, or Redis has lost its data"
    error = UnknownOperation(f'operation id "{operation}" is unknown: {why}')
    if not looks_like:
        error.page = RecordGone.page
    return error


def dropped(operation: OperationId, group: GroupId) -> RecordGone:
    """Return the error for an operation that ended, and whose record was dropped before it was asked for."""
    error = RecordGone(
        f'operation "{operation}" has ended, and its record was dropped before its end was read: raise '
        "LOCKSTEP_RETENTION_COUNT or LOCKSTEP_RETENTION_DAYS; see what hosts hold with "
        f"`lockstep drift {group}`"
    )
    error.page = ""  # nothing is lost
    return error


def gone(lost: Loss) -> RecordGone:
    """Return the error for an operation that was accepted, and whose record is gone."""
    what = f'{lost.action} "{lost.group}"' if lost.action else f'on group "{lost.group}"'
    return RecordGone(
        f'the record of operation "{lost.id}" ({what}) vanished from Redis after it was accepted: hosts may '
        "have been changed, and nothing carries it on; see what they hold with "
        f"`lockstep drift {lost.id}`, then bring them to one state with `lockstep apply FILE`, "
        f"or with `lockstep create {lost.group}` or `delete`"
    )
