"""What the record keeps, read as what it must be; what is damaged is passed over, and named with its remedy.

It needs no Redis, for the command gathers what is damaged from its start.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from shlex import quote
from typing import Any, TypeVar

from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.model import Millis, Moment
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import Digest, Trace

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
log = logging.getLogger(__name__)
FORMAT, WAVED, FILLED = "1", "2", "3"
"""Of the records that this version writes and reads, the second with waves, the third of things with content;
`record.lua` has them too."""
REMEDIES = {
    "operation": "docs/operations.md#a-damaged-record",
    "step": "docs/operations.md#a-damaged-record",
    "pause": "lockstep resume {field}, and pause it again",
    "last end": "lockstep create {group}, or delete: whichever is wanted",
}
"""What mends what; all else is written anew once it has been deleted."""


class Fields:
    """Fields of the record, each read as what it must be. Raises RecordDamaged, which names the field."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept

    @classmethod
    def of(cls, text: str) -> Fields:
        """Read an object in JSON."""
        try:
            kept = json.loads(text)
        except (ValueError, RecursionError):
            kept = None
        if not isinstance(kept, dict):
            raise RecordDamaged(f"it is {show(text)}, which is no JSON object")
        return cls(kept)

    def number(self, name: str) -> int:
        value = self._kept.get(name)
        try:
            if not isinstance(value, bool):
                return int(value)  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError):
            pass
        raise self._wrong(name, "a number")

    def at(self, name: str) -> Millis:
        return Millis(self.number(name))

    def text(self, name: str) -> str:
        return self._of(str, name, "a text")

    def flag(self, name: str) -> bool:
        return self._of(bool, name, "true or false")

    def word(self, name: str, kind: type[E]) -> E:
        value = self._kept.get(name)
        if value not in list(kind):
            raise self._wrong(name, " or ".join(kind))
        return kind(value)

    def items(self, name: str, kind: type[T]) -> T:
        """Return a list or an object; an empty one where there is none."""
        if not self._kept.get(name):
            return kind()  # Lua cannot tell an empty list from an empty object
        return self._of(kind, name, f"a {kind.__name__}")

    def maybe(self, read: Callable[[str], T], name: str) -> T | None:
        """Read a field that may be missing."""
        return None if self._kept.get(name) is None else read(name)

    def _of(self, kind: type[T], name: str, rule: str) -> T:
        value = self._kept.get(name)
        if not isinstance(value, kind):
            raise self._wrong(name, rule)
        return value

    def _wrong(self, name: str, rule: str) -> RecordDamaged:
        if name not in self._kept:
            return RecordDamaged(f"it has no field {name}")
        return RecordDamaged(f"its field {name} is {show(self._kept[name])}, and must be {rule}")


def trace_from(fields: Fields) -> Trace | None:
    """Read what the record keeps of the content of a host; None for what has none."""

    def digest(name: str) -> Digest | None:
        found = fields.maybe(fields.text, name)
        return None if found is None else Digest(found)

    overwrote = fields.maybe(fields.flag, "overwrote") or False
    found = Trace(digest("was"), digest("as_seen"), digest("foreign"), digest("restore_over"), overwrote)
    return None if found == Trace() else found


def newer_format(written: str | None) -> str:
    """Say that a record cannot be read, and what to do."""
    return f"the record has format {written}, newer than this version: upgrade it"


def check_format(written: str | None) -> None:
    """Raise UnknownFormat for a record of a newer version, RecordDamaged for one of no version."""
    if written in (FORMAT, WAVED, FILLED):
        return
    if written is None or not written.isdecimal():
        raise RecordDamaged(f"its field format is {show(written)}, and must be a number")
    raise UnknownFormat(newer_format(written))


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that cannot be read."""

    kind: str
    key: str
    field: str
    """Of the hash under that key; an operation's id."""
    why: str
    """Which of its fields is what, and what it must be."""

    @property
    def text(self) -> str:
        """One line for people."""
        where = "" if self.kind == "operation" else f" in {self.key}"
        return f"the {self.kind} {self.field}{where} cannot be read, and is left as it is: {self.why}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
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
    """Name something damaged to whoever gathers it; else log it, once in the life of this process."""
    found = _noted.get()
    if found is None:
        _log(damage)
    else:
        found[damage] = None


@lru_cache(maxsize=1000)
def _log(damage: Damage) -> None:
    log.warning("%s -> %s", damage.text, damage.remedy)


def readable(kind: str, key: str, kept: Mapping[str, str], build: Callable[[str, str], T]) -> dict[str, T]:
    """Build what a hash keeps under each of its fields; what is damaged is left out and noted."""
    found = {}
    for field, text in kept.items():
        try:
            found[field] = build(field, text)
        except (RecordDamaged, ValueError) as error:
            note(Damage(kind, key, field, str(error)))
    return found


COURSE = ("done", "passed", "released", "gate", "wave", "held")
"""What an operation with waves comes to, in the order within one millisecond."""


def moments_from(kept: Mapping[str, str]) -> tuple[Moment, ...]:
    """Read the course of an operation with waves from its hash: fields such as `at:wave:2`, by time."""
    found = []
    for name, text in kept.items():
        if name.startswith("at:"):
            _, what, number = (*name.split(":"), "", "")[:3]
            at, _, said = text.partition(" ")
            if what not in COURSE or not number.isdecimal() or not at.isdecimal():
                raise RecordDamaged(f"its field {show(name)} is {show(text)}, which is no moment")
            found.append(Moment(Millis(int(at)), what, int(number), said))
    return tuple(sorted(found, key=lambda each: (each.at, COURSE.index(each.what), each.number)))
