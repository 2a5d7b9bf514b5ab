"""What must be shown to nobody: a value that shows nothing of itself, and a net below everything.

`Secret` is for code that holds one. `mask` is for whatever leaves the process, and replaces every secret that
this process has come to know, from any source: a library's error, a repr, a traceback.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from lockstep.worker.process.forks import renew_in_children

HIDDEN = "…"
SHORTEST = 6
"""Characters. A shorter value would be found in ordinary words and names."""
MOST_PASSING = 200
"""Secrets of things that are masked at a time: each has many forms, and a worker sees new ones for ever."""
T = TypeVar("T")


class _Known:
    def __init__(self) -> None:
        self.passing: dict[str, set[str]] = {}
        """The newest secrets of things, with their forms; they make room for newer ones."""
        self.lasting: dict[str, set[str]] = {}
        """All others, with theirs."""
        self.forms: list[str] = []
        """Of all of them, the longest first."""
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        self._lock = threading.Lock()

    def add(self, values: set[str], passing: bool = False) -> None:
        found = {value: {form for form in forms(value) if len(form) >= SHORTEST} for value in values}
        with self._lock:
            if passing:
                self.passing = dict([*self.passing.items(), *found.items()][-MOST_PASSING:])
            else:
                self.lasting |= found
            every = set[str]().union(*self.lasting.values(), *self.passing.values())
            self.forms = sorted(every, key=len, reverse=True)  # a masking under way keeps its list


_known = _Known()


class Secret:
    """A text that is read with `reveal` alone: no repr, format, JSON, pickle or comparison shows it."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str, *, whole: bool = True) -> None:
        """Hold a text, and have it masked from now on, unless a part of it alone is secret: not `whole`."""
        if whole:
            know(value)

        def reveal() -> str:
            return value

        self._reveal = reveal

    def reveal(self) -> str:
        return self._reveal()

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


def know(*values: str | None, passing: bool = False) -> None:
    """Have these values masked from now on, in every form in which they may be written.

    `passing` ones are secrets of things: the newest of them are masked, and old ones make room.
    """
    new = {each for each in values if each and each not in _known.passing and each not in _known.lasting}
    if new:  # a token is read for each call
        _known.add(new, passing)


def mask(text: str) -> str:
    for form in _known.forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def masked(value: T) -> T:
    """Return a value of JSON with every text in it masked; whatever else it is, as it is."""
    kept: Any = value
    if isinstance(value, str):
        kept = mask(value)
    elif isinstance(value, Secret):
        kept = HIDDEN
    elif isinstance(value, Mapping):
        kept = {key: masked(each) for key, each in value.items()}
    elif isinstance(value, (list, tuple)):
        kept = type(value)(masked(each) for each in value) if type(value) in (list, tuple) else value
    return kept  # type: ignore[no-any-return]


def cut_out(text: str, values: list[str]) -> str:
    """Return what somebody else wrote without any six characters in a row of these values, in any form.

    Nothing of it is left if a value is too short to be told from ordinary words.
    """
    if any(len(value) < SHORTEST for value in values):
        return ""
    text = text.replace("\0", " ")
    every = "\0".join(form for value in values for form in forms(value))
    found = [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in every]
    hidden = {each for at in found for each in range(at, at + SHORTEST)}
    return re.sub("\0+", HIDDEN, "".join("\0" if at in hidden else each for at, each in enumerate(text)))


class MaskedFormatter(logging.Formatter):
    """Formats as another formatter does, and masks what came of it, a traceback included."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return mask(self.inner.format(record))


def mask_logs(logger: logging.Logger) -> None:
    for handler in logger.handlers:
        if not isinstance(handler.formatter, MaskedFormatter):
            handler.setFormatter(MaskedFormatter(handler.formatter))


def print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write an error that nobody caught to stderr, masked; for `sys.excepthook`."""
    sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))


def forms(value: str) -> Iterator[str]:
    """Yield every form in which a text may be written."""
    for text in (value, value.strip()):
        yield text
        yield repr(text)[1:-1]
        yield ascii(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield quote(text, safe="")
        yield quote_plus(text)
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            try:
                encoded = text.encode(encoding)
            except UnicodeEncodeError:
                continue
            yield repr(encoded)[2:-1]
            yield base64.b64encode(encoded).decode()
