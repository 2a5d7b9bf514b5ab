"""What a host shows of a thing: its content, and how contents are written down and compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from urllib.parse import quote

DEEPEST = 32
"""Lists and objects inside one another; a body with more tells nothing."""
LARGEST_EXPONENT = 400
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(ValueError):
    """A text is JSON that tells nothing; the message says why, and nothing of the text."""


def read_json(text: str) -> object:
    """Return a JSON value with its numbers exact: int where they are whole, else Decimal.

    Raises json.JSONDecodeError for what is no JSON, and Unreadable for a key that stands twice, NaN or
    Infinity, half of a surrogate pair, more than 32 levels, or a number that is too long.
    """
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=lambda number: _exact(Decimal(number)),
        )
    except RecursionError:
        raise Unreadable("it has more than 32 levels") from None
    except (json.JSONDecodeError, Unreadable):
        raise
    except ValueError:  # an integer of more digits than Python reads
        raise Unreadable("it has a number that is too long") from None
    _check([value], DEEPEST)
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a key stands twice in it")
    return found


def _no_constant(name: str) -> object:
    raise Unreadable(f"it has {name}")


def _exact(value: Decimal) -> int | Decimal:
    """Return a decimal as an integer if it is one that can be written out, else without zeros at its end."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise Unreadable("it has a number that is none")
    while digits and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if not digits:
        return 0
    if exponent >= 0 and exponent + len(digits) <= LARGEST_EXPONENT:
        return int(value)
    return Decimal((sign, digits, exponent))


def _check(values: Iterable[object], levels: int) -> None:
    for each in values:
        if isinstance(each, list | dict):
            if not levels:
                raise Unreadable("it has more than 32 levels")
            _check((*each, *each.values()) if isinstance(each, dict) else each, levels - 1)
        elif isinstance(each, str) and not each.isascii() and _SURROGATE.search(each):
            raise Unreadable("it has half of a surrogate pair")


def write_json(value: object, *, canonical: bool = False) -> str:
    """Return a value as JSON with its numbers exact; canonical: sorted keys and no blanks."""
    comma, colon = (",", ":") if canonical else (", ", ": ")
    match value:
        case Mapping():
            keys = sorted(value) if canonical else value
            inside = (
                f"{json.dumps(key)}{colon}{write_json(value[key], canonical=canonical)}" for key in keys
            )
            return "{" + comma.join(inside) + "}"
        case list() | tuple():
            return "[" + comma.join(write_json(each, canonical=canonical) for each in value) + "]"
        case bool() | None | str() | int():
            return json.dumps(value)
        case float():
            return str(_exact(Decimal(repr(value))))
        case Decimal():
            return str(_exact(value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def canonical(value: object) -> str:
    """Return the one text of a value: two values are equal if and only if their texts are."""
    return write_json(value, canonical=True)


def as_set(values: Iterable[object]) -> list[object]:
    """Return values in the one order that they have as a set, each once."""
    return [each for _, each in sorted({canonical(each): each for each in values}.items())]


@dataclass(frozen=True, slots=True)
class Id:
    """What a thing is called: its kind, and the parts of its id in their canonical form."""

    kind: str
    names: tuple[str, ...] = field(compare=False)
    values: tuple[str, ...]

    @property
    def parts(self) -> dict[str, str]:
        return dict(zip(self.names, self.values, strict=True))

    @property
    def text(self) -> str:
        """`KIND/a/b`, each part percent-encoded: how it is written, and kept."""
        return "/".join((self.kind, *(quote(each, safe="") for each in self.values)))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Content:
    """A thing that is there: every field by name, null where a host shows none.

    As a target it holds the fields that are given or have a default, and no others.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    kept: Mapping[str, object] = field(default_factory=dict)
    """What only a write back needs, by name."""
    version: object = None
    """The server's, for the write that follows; no part of the text."""
    address: object = None
    """The server's id for the paths of writes; no part of the text."""
    item: object = None
    """The thing as the body has it, which expressions of writes see as `seen`; no part of the text."""

    def text(self) -> str:
        """Return the canonical text of fields and kept values: the record keeps it, by digest."""
        return canonical({"fields": self.values, "kept": self.kept} if self.kept else {"fields": self.values})

    @classmethod
    def read(cls, text: str) -> Content:
        """Return the content of a text that `text` made. Raises ValueError for any other."""
        found = read_json(text)
        if not isinstance(found, dict) or not isinstance(found.get("fields"), dict):
            raise Unreadable("it is no content")
        return cls(found["fields"], found.get("kept", {}))

    def keeping(self, names: Iterable[str]) -> Content:
        """Return the same content with these of its kept values alone."""
        return replace(self, kept={name: self.kept[name] for name in names if name in self.kept})

    def over(self, shown: Content | None) -> Content:
        """Return what is to be written: these fields, and what a host shows for those that are not given."""
        return replace(self, values={**shown.values, **self.values}) if shown is not None else self


class Sight(StrEnum):
    ABSENT = "absent"
    CONTENT = "content"
    OVERSIZED = "oversized"
    """Present, with more than can be kept: it cannot be set or deleted."""
    BUSY = "busy"
    """In transition: look again; it counts as nothing."""
    NOTHING = "nothing"


class Flaw(StrEnum):
    """Why a look tells nothing."""

    SILENT = "silent"
    """No answer came."""
    FAILED = "failed"
    """408, 425, 429, 499 or 5xx: another look may tell more."""
    UNREADABLE = "unreadable"
    MISCONFIGURED = "misconfigured"
    """An answer that the kind does not name, or names in two ways: people have to mend it."""


@dataclass(frozen=True, slots=True)
class Shown:
    sight: Sight
    content: Content | None = None
    """Set if and only if the sight is CONTENT."""
    text: str = ""
    """The answer in a few words: its status, and what is wrong with it."""
    flaw: Flaw | None = None
    """Set if and only if the sight is NOTHING."""
    retry_after: float | None = None
    """Seconds."""
    needs_witness: bool = False
    """NOTHING: it looks absent, and counts as that once the witness has answered."""

    @property
    def tells(self) -> bool:
        """Whether it shows that the thing is absent, or what it holds."""
        return self.sight in (Sight.ABSENT, Sight.CONTENT)


class Effect(StrEnum):
    """What came of a write: first as its answer says it, then, of a group, as a look makes it certain."""

    APPLIED = "applied"
    UNSHOWN = "unshown"
    """Applied, on a host whose GET may lag behind: the write stays open until it is settled."""
    REPLACED = "replaced"
    """Applied over something else."""
    ALREADY = "already"
    """Not by this write: a look shows that it is so."""
    CONTESTED = "contested"
    """So already, says the host, or a bad request. A look tells which: ALREADY, or still CONTESTED, which is
    refused unless an own write may yet show."""
    REFUSED = "refused"
    """Nothing, and it never will."""
    LATER = "later"
    """Nothing; look and ask again, and no write is counted."""
    STARTED = "started"
    """It will take effect."""
    NOT_SENT = "not_sent"
    """Not a byte has left."""
    NOT_APPLIED = "not_applied"
    """The same of a group, or its host says that it did nothing."""
    UNKNOWN = "unknown"
    MISDIRECTED = "misdirected"
    """Unknown, and a configuration error: a redirect."""


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    effect: Effect
    text: str
    """The answer in a few words."""
    retry_after: float | None = None
    """Seconds."""
    unreadable: bool = False
    """UNKNOWN: the host answered, but not so that it can be read."""
    shows_after: float = 0.0
    """APPLIED, of a group: seconds for which a GET may not show it."""
