"""Expressions of kind files: JMESPath with a few functions more, and bounds on what one may cost."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

LONGEST = 1_000
"""Characters of an expression."""
MOST_VALUES = 20_000
"""Values of a result, counted with everything inside lists and objects."""
MOST_STEPS = 10 * MOST_VALUES
"""Nodes that evaluating one expression may visit: a fifth of a second."""
LONGEST_TEXT = 1 << 20
"""Characters of a text that an expression may make."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
Scope = Mapping[str, object]


class BadExpression(ValueError):
    """An expression cannot be used, or cannot be evaluated; the message is one line."""


class Null:
    """What `or_null` gives for null: it is sent, where a plain null leaves its key out."""


_NULL = Null()
_ANY: Any = {"types": []}
_TEXT: Any = {"types": ["string", "null"]}


class _Ours(Functions):
    @signature(_ANY, _ANY, _ANY)
    def _func_if(self, test: object, then: object, other: object) -> object:
        return other if _is_false(test) else then

    @signature({"types": ["array", "null"]}, {"types": ["string"]}, _ANY)
    def _func_select(self, items: list[object] | None, key: str, value: object) -> object:
        found = [each for each in items or () if isinstance(each, dict) and each.get(key) == value]
        if len(found) > 1:
            raise BadExpression(f"select() finds {len(found)} items")
        return found[0] if found else None

    @signature(_TEXT)
    def _func_base64(self, text: str | None) -> str | None:
        return None if text is None else base64.b64encode(text.encode()).decode()

    @signature(_TEXT)
    def _func_unbase64(self, text: str | None) -> str | None:
        try:
            return None if text is None else base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise BadExpression("unbase64() was given something else than UTF-8 text in base64") from None

    @signature({"types": ["string"], "variadic": True})
    def _func_concat(self, *texts: object) -> str:
        if not all(isinstance(each, str) for each in texts):
            raise BadExpression("concat() was given something else than strings")
        return "".join(map(str, texts))

    @signature({"types": ["string"]})
    def _func_quote(self, text: str) -> str:
        if _CONTROL.search(text):
            raise BadExpression("quote() was given a control character")
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    @signature(_TEXT)
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @signature(_TEXT, {"types": ["string"]})
    def _func_with_end(self, text: str | None, end: str) -> str | None:
        return text if text is None or text.endswith(end) else text + end

    @signature({"types": ["object", "null"]}, {"types": ["object", "null"]})
    def _func_over(
        self, under: dict[str, object] | None, over: dict[str, object] | None
    ) -> dict[str, object]:
        found = {**(under or {}), **(over or {})}
        return {key: value for key, value in found.items() if not (key in (over or {}) and value is None)}

    @signature(_ANY, {"types": ["array-string"]})
    def _func_without(self, under: object, keys: list[str]) -> object:
        if not isinstance(under, dict):
            return under
        return {key: value for key, value in under.items() if key not in keys}

    @signature(_ANY)
    def _func_or_null(self, value: object) -> object:
        return _NULL if value is None else value

    def _convert_to_jmespath_type(self, name: str) -> str:
        return "number" if name == "Decimal" else str(super()._convert_to_jmespath_type(name))  # type: ignore[misc]

    def _get_allowed_pytypes(self, types: Iterable[str]) -> tuple[list[str], list[Any]]:
        allowed, inner = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        inner = [[*each, "Decimal"] if "float" in each else each for each in inner]
        return [*allowed, "Decimal"] if "float" in allowed else allowed, inner


FUNCTIONS = sorted(set(_Ours.FUNCTION_TABLE) - set(Functions.FUNCTION_TABLE))


def _is_false(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})


_FUNCTIONS = Options(custom_functions=_Ours())


class _Bounded(TreeInterpreter):
    def __init__(self) -> None:
        super().__init__(_FUNCTIONS)
        self.steps = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise BadExpression(f"it takes more than {MOST_STEPS} steps")
        found = super().visit(node, *args, **kwargs)
        if isinstance(found, list) and len(found) > MOST_VALUES:
            raise BadExpression(f"it makes a list of more than {MOST_VALUES} values")
        if isinstance(found, str) and len(found) > LONGEST_TEXT:
            raise BadExpression(f"it makes a text of more than {LONGEST_TEXT} characters")
        return found


class Expression:
    __slots__ = ("text", "tree")

    def __init__(self, text: str) -> None:
        """Check it. Raises BadExpression naming the rule that it breaks."""
        if len(text) > LONGEST:
            raise BadExpression(f"is longer than {LONGEST} characters")
        try:
            self.tree: Any = jmespath.compile(text).parsed
        except JMESPathError as error:
            said = " ".join(str(error).split())
            raise BadExpression(f"is no JMESPath (text stands in 'single quotes'): {said[:160]}") from None
        self.text = text
        for node in _nodes(self.tree):
            children = node.get("children") or []
            if node["type"] in _BINDS_LESS and children[0]["type"] == "not_expression":
                raise BadExpression("has !a.b, which means (!a).b: write !(a.b)")
            if node["type"] == "function_expression" and node["value"] not in _Ours.FUNCTION_TABLE:
                raise BadExpression(
                    f"calls {node['value']}(): of functions there is {', '.join(FUNCTIONS)}, "
                    "and those of JMESPath"
                )

    def value(self, scope: object) -> object:
        """Evaluate it. Raises BadExpression for what cannot be evaluated, or costs too much."""
        try:
            found = _Bounded().visit(self.tree, scope)
        except JMESPathError as error:
            # Its text may hold the value that it was given.
            raise BadExpression(f"{self.text[:80]!r} cannot be evaluated: {_without_values(error)}") from None
        except (AttributeError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            why = str(error) if isinstance(error, BadExpression) else type(error).__name__
            raise BadExpression(f"{self.text[:80]!r} cannot be evaluated: {why}") from None
        _count(found)
        return found

    def names(self) -> Iterator[tuple[str, str | None]]:
        """Yield what it takes from the scope: a name, and the name inside it, if it says one."""
        yield from (each for each in _names(self.tree) if each[0] != "null")  # which is no name in a scope

    def lost(self) -> Iterator[tuple[str, str]]:
        """Yield what looks like `name.inner` of the scope, and is taken of the items of a list instead."""
        pairs = Counter(
            (tree["children"][0]["value"], tree["children"][1]["value"])
            for tree in _nodes(self.tree)
            if tree["type"] == "subexpression" and all(each["type"] == "field" for each in tree["children"])
        )
        yield from pairs - Counter((name, inner) for name, inner in _names(self.tree) if inner)


_PROJECTIONS = ("projection", "filter_projection", "value_projection")
_LOOKS_ELSEWHERE = ("subexpression", "index_expression", *_PROJECTIONS)
_BINDS_LESS = frozenset((*_LOOKS_ELSEWHERE, "flatten", "comparator"))


def _without_values(error: JMESPathError) -> str:
    function = getattr(error, "function_name", None)
    took = f"{function}() was given a value of a type that it does not take"
    return took if function else type(error).__name__


def _count(value: object) -> None:
    left, many = [value], 0
    while left:
        each = left.pop()
        many += 1
        if many > MOST_VALUES:
            raise BadExpression(f"it gives more than {MOST_VALUES} values")
        if isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += each.values()


def _nodes(tree: Any) -> Iterator[Any]:
    yield tree
    for child in tree.get("children") or []:
        yield from _nodes(child)


def _names(tree: Any) -> Iterator[tuple[str, str | None]]:
    """What a tree takes from the scope itself: the left of whatever changes what is looked at."""
    children = tree.get("children") or []
    match tree["type"]:
        case "field":
            yield tree["value"], None
        case "subexpression" if children[0]["type"] == "field":
            yield children[0]["value"], children[1]["value"] if children[1]["type"] == "field" else None
        case "expref":
            pass
        case kind if kind == "pipe" or kind in _LOOKS_ELSEWHERE:
            yield from _names(children[0])
        case _:
            for child in children:
                yield from _names(child)


expression = lru_cache(maxsize=10_000)(Expression)
"""The same, checked once however often it is asked for."""


def expressions(template: object) -> Iterator[Expression]:
    """Yield those of a template: each string in it is one, other scalars stand for themselves.

    Raises BadExpression, also for what can stand in no template.
    """
    match template:
        case str():
            try:
                yield expression(template)
            except BadExpression as error:
                raise BadExpression(f"expression {template[:80]!r} {error}") from None
        case Mapping():
            yield from expressions([*template.values()])
        case list() | tuple():
            for each in template:
                yield from expressions(each)
        case None | bool() | int() | float():
            pass
        case _:
            raise BadExpression(f"a {type(template).__name__} stands in a template: put it in quotes")


def filled(template: object, scope: Scope) -> Any:
    """Evaluate a template; an expression that gives null leaves its key, or its place in a list, out."""
    match template:
        case str():
            return expression(template).value(scope)
        case Mapping():
            values = {key: _NULL if each is None else filled(each, scope) for key, each in template.items()}
            return {key: _plain(each) for key, each in values.items() if each is not None}
        case list() | tuple():
            items = [_NULL if each is None else filled(each, scope) for each in template]
            return [_plain(each) for each in items if each is not None]
    return template


def _plain(value: object) -> object:
    return None if isinstance(value, Null) else value
