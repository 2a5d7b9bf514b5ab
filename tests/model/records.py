"""Records, rebuilt from Redis' append-only file: it has what each script changed, as one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

KEY = re.compile(r"(?P<record>.*?op:[A-Za-z0-9._-]+)(?::(?P<part>steps|todo|undo|open|later|gating))?")
SETS = ("todo", "undo", "open", "gating", "later")


@dataclass(slots=True)
class Record:
    """One operation as Redis holds it; steps are kept as text until they are looked at."""

    fields: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in SETS})

    def copy(self) -> Record:
        """Return another that holds the same."""
        return Record(
            dict(self.fields), dict(self.steps), {name: set(has) for name, has in self.sets.items()}
        )


Change = tuple[str, Record | None, Record | None]
"""A record's key, what it was, and what it is."""


def transactions(journal: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield what ran as a whole, without transactions that the end of the file cuts off."""
    together: list[Sequence[str]] | None = None
    for command in journal:
        match command[0].upper():
            case "MULTI":
                together = []
            case "EXEC" if together is not None:
                yield together
                together = None
            case _ if together is not None:
                together.append(command)
            case _:
                yield [command]


class Records:
    """All records whose keys begin with `ours`, as they are after what was replayed so far."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._now: dict[str, Record] = {}
        self._before: dict[str, Record | None] = {}

    def after(self, transaction: Iterable[Sequence[str]]) -> Iterator[Change]:
        """Replay a transaction; yield each record that it writes to."""
        self._before = {}
        for name, *arguments in transaction:
            self._apply(name.upper(), arguments)
        for key, was in self._before.items():
            yield key, was, self._now.get(key)

    def _apply(self, name: str, arguments: Sequence[str]) -> None:
        if name in ("FLUSHDB", "FLUSHALL"):
            self._now.clear()
            self._before.clear()
        elif name in ("DEL", "UNLINK"):
            for key in arguments:
                self._write("DEL", key, ())
        elif arguments:
            self._write(name, arguments[0], arguments[1:])

    def _write(self, name: str, key: str, arguments: Sequence[str]) -> None:
        named = KEY.fullmatch(key)
        if named is None or not key.startswith(self._ours):
            return
        record, part = named["record"], named["part"]
        if record not in self._before:
            found = self._now.get(record)
            self._before[record] = found.copy() if found else None
        kept = self._now.setdefault(record, Record())
        match name:
            case "DEL" if part is None:
                del self._now[record]
            case "DEL":
                (kept.steps if part == "steps" else kept.sets[part]).clear()
            case "HSET" | "HMSET" | "HSETNX":
                into = kept.steps if part == "steps" else kept.fields
                into.update(zip(arguments[::2], arguments[1::2], strict=True))
            case "HINCRBY":
                kept.fields[arguments[0]] = str(int(kept.fields.get(arguments[0], "0")) + int(arguments[1]))
            case "SADD" if part:
                kept.sets[part].update(arguments)
            case "ZADD" if part:
                kept.sets[part].update(arguments[1::2])
            case "SREM" | "ZREM" if part:
                kept.sets[part].difference_update(arguments)
