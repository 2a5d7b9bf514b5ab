"""Plain YAML: lists, mappings and scalars, and none of what YAML attacks and silent mistakes are made of."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser where there is one: ten times as fast, which 10,000 hosts need."""
DEEPEST = 20
"""Lists and mappings inside one another: far more than is needed, far less than crashes a parser."""
_SHOWN = 120
_PLAIN_TEXT = (False, True)

_resolver = Resolver()
_constructor = SafeConstructor()


Place = tuple[object, ...]
"""Where in a document a value stands: keys, and numbers within lists."""


def parse_plain(noun: str, text: str, lines: dict[Place, int] | None = None) -> object:
    """Return the one document of a text, None for an empty one; the line of each value goes into `lines`.

    Raises InvalidInput, which begins with the noun and names the line, for what is no YAML, for anchors,
    aliases and tags, for a key that stands twice in one mapping, and for a second document.
    """
    reader = _Reader(noun, {} if lines is None else lines)
    try:
        return reader.document(yaml.parse(text, Loader=LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # A limit of the parser's own, which reads ahead.
        if "nesting depth" in str(error) and mark is not None:
            raise reader.too_deep(mark.line + 1) from error
        where = "" if mark is None else f" line {mark.line + 1}"
        why = " ".join(str(getattr(error, "problem", "") or error).split())[:_SHOWN]
        raise InvalidInput(f"{noun}{where} is not plain YAML: {why}") from error


class _Reader:
    def __init__(self, noun: str, lines: dict[Place, int]) -> None:
        self._noun, self._lines = noun, lines

    def document(self, events: Iterator[yaml.Event]) -> object:
        """Return what there is; None for nothing."""
        self._events = events
        begun, found = False, None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if begun:
                    raise self._refusal(event, "begins a second document", "give one")
                begun, found = True, self._value(next(self._events), ())
        return found

    def _value(self, event: yaml.Event, place: Place) -> object:
        self._lines.setdefault(place, _line(event))
        if isinstance(event, yaml.AliasEvent):
            raise self._refusal(event, "has a YAML alias", "write the value out")
        for extra in ("anchor", "tag"):
            if getattr(event, extra) is not None:
                raise self._refusal(event, f"has a YAML {extra}", "write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(place) == DEEPEST:
            raise self.too_deep(_line(event))
        return self._mapping(place) if isinstance(event, yaml.MappingStartEvent) else self._list(place)

    def _list(self, place: Place) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*place, len(found))))
        return found

    def _mapping(self, place: Place) -> dict[object, object]:
        found: dict[object, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, place)
            if isinstance(key, list | dict):
                raise self._refusal(event, "has a list or mapping as a key", "give a name")
            if isinstance(key, bool) and isinstance(event, yaml.ScalarEvent):
                what = f"has the key {event.value}, which YAML reads as {str(key).lower()}"
                raise self._refusal(event, what, f'write "{event.value}"')
            if key in found:
                raise self._refusal(event, f"has the key {show(key)} a second time", "drop one of them")
            self._lines[*place, key] = _line(event)
            found[key] = self._value(next(self._events), (*place, key))
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if event.implicit == _PLAIN_TEXT:
            return event.value
        tag = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag == Resolver.DEFAULT_SCALAR_TAG:
            return event.value
        try:
            return _constructor.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, yaml.YAMLError) as error:
            what = f"has {show(event.value)}, which is no {tag.rpartition(':')[2]} that YAML knows"
            raise self._refusal(event, what, "put it in quotes") from error

    def too_deep(self, line: int) -> InvalidInput:
        return InvalidInput(f"{self._noun} line {line} is nested more than {DEEPEST} deep: write it flatter")

    def _refusal(self, event: yaml.Event, what: str, remedy: str) -> InvalidInput:
        return InvalidInput(f"{self._noun} line {_line(event)} {what}: {remedy}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
