"""A field of the record, read as what it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from lockstep.worker.operation.errors import RecordDamaged
from lockstep.worker.operation.names import show

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


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
        """Return a whole number."""
        value = self._kept.get(name)
        try:
            if not isinstance(value, bool):
                return int(value)  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError):
            pass
        raise self._wrong(name, "a number")

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._kept.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._kept.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def word(self, name: str, kind: type[E]) -> E:
        """Return one of an enumeration's words."""
        value = self._kept.get(name)
        if value not in list(kind):
            raise self._wrong(name, " or ".join(kind))
        return kind(value)

    def items(self, name: str, kind: type[T]) -> T:
        """Return a list or an object; an empty one where there is none."""
        value = self._kept.get(name) or kind()  # Lua cannot tell an empty list from an empty object
        if not isinstance(value, kind):
            raise self._wrong(name, f"a {kind.__name__}")
        return value

    def maybe(self, read: Callable[[str], T], name: str) -> T | None:
        """Read a field that may be missing."""
        return None if self._kept.get(name) is None else read(name)

    def _wrong(self, name: str, rule: str) -> RecordDamaged:
        if name not in self._kept:
            return RecordDamaged(f"it has no field {name}")
        return RecordDamaged(f"its field {name} is {show(self._kept[name])}, and must be {rule}")
