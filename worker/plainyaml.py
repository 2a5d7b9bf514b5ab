"""Plain YAML: lists, mappings and scalars, and none of what YAML attacks and silent mistakes are made of."""

from __future__ import annotations

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
    reader = _Reader(noun, lines)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            reader.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # A limit of the parser's own, which reads ahead.
        if "nesting depth" in str(error) and mark is not None:
            raise reader.too_deep(mark.line + 1) from error
        where = "" if mark is None else f" line {mark.line + 1}"
        why = " ".join(str(getattr(error, "problem", "") or error).split())[:_SHOWN]
        raise InvalidInput(f"{noun}{where} is not plain YAML: {why}") from error
    return reader.document


class _Reader:
    """Puts a document together from its events, without recursion, so that no nesting is too deep for it."""

    def __init__(self, noun: str, lines: dict[Place, int] | None) -> None:
        self.document: object = None
        self._noun, self._lines = noun, lines
        self._documents = 0
        self._open: list[_List | _Mapping] = []

    def take(self, event: yaml.Event) -> None:
        if self._lines is not None and isinstance(event, yaml.NodeEvent) and event.start_mark:
            self._lines.setdefault(tuple(each.place for each in self._open), event.start_mark.line + 1)
        match event:
            case yaml.ScalarEvent():
                self._refuse_extras(event)
                self._add(self._scalar(event), event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_extras(event)
                if len(self._open) == DEEPEST:
                    raise self.too_deep(event.start_mark.line + 1 if event.start_mark else 1)
                self._open.append(_Mapping() if isinstance(event, yaml.MappingStartEvent) else _List())
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._add(self._open.pop().values, event)
            case yaml.AliasEvent():
                raise self._refusal(event, "has a YAML alias", "write the value out")
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._refusal(event, "begins a second document", "give one")

    def too_deep(self, line: int) -> InvalidInput:
        """Return the refusal of what is nested deeper than is read."""
        return InvalidInput(f"{self._noun} line {line} is nested more than {DEEPEST} deep: write it flatter")

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

    def _add(self, value: object, event: yaml.Event) -> None:
        if not self._open:
            self.document = value
            return
        match self._open[-1]:
            case _List(values):
                values.append(value)
            case _Mapping(values) as mapping if mapping.has_key:
                values[mapping.key] = value
                mapping.has_key = False
            case _Mapping(values) as mapping:
                if isinstance(value, list | dict):
                    raise self._refusal(event, "has a list or mapping as a key", "give a name")
                if isinstance(value, bool) and isinstance(event, yaml.ScalarEvent):
                    what = f"has the key {event.value}, which YAML reads as {str(value).lower()}"
                    raise self._refusal(event, what, f'write "{event.value}"')
                if value in values:
                    raise self._refusal(event, f"has the key {show(value)} a second time", "drop one of them")
                mapping.key, mapping.has_key = value, True
                if self._lines is not None and event.start_mark:
                    self._lines[tuple(each.place for each in self._open)] = event.start_mark.line + 1

    def _refuse_extras(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if event.anchor is not None or tag is not None:
            kind = "tag" if event.anchor is None else "anchor"
            raise self._refusal(event, f"has a YAML {kind}", "write the value out")

    def _refusal(self, event: yaml.Event, what: str, remedy: str) -> InvalidInput:
        line = f"line {event.start_mark.line + 1} " if event.start_mark else ""
        return InvalidInput(f"{self._noun} {line}{what}: {remedy}")


class _List:
    __match_args__ = ("values",)

    def __init__(self) -> None:
        self.values: list[object] = []

    @property
    def place(self) -> object:
        return len(self.values)


class _Mapping:
    __match_args__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[object, object] = {}
        self.key: object = None
        self.has_key = False

    @property
    def place(self) -> object:
        return self.key
