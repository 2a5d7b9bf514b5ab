"""Expressions read backwards: what they were given, from what they gave; and bodies that make them true."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from lockstep.mock_api.faults import InputError
from lockstep.worker.kinds.expressions import Expression

Bound = dict[str, dict[str, Any]]
"""What a request gives, by what expressions call it."""


class Mismatch(Exception):
    """A request is not that of this verb."""


def read_backwards(template: Any, given: Any, bound: Bound) -> None:
    """Read what was made of a template backwards."""
    match template:
        case str():
            unify(Expression(template).tree, given, bound)
        case dict() if isinstance(given, dict) and not given.keys() - template.keys():
            for key, each in template.items():
                if key in given:
                    read_backwards(each, given[key], bound)
        case list() if isinstance(given, list) and len(given) == len(template):
            for each, one in zip(template, given, strict=True):
                read_backwards(each, one, bound)
        case _ if template == given and not isinstance(template, dict | list):
            pass
        case _:
            raise Mismatch


def _lifted(tree: Any) -> Any:
    """Return `a.b[*].c` as a projection of `a.b`: jmespath makes it one of `b`, inside `a`."""
    if tree["type"] != "subexpression" or tree["children"][1]["type"] != "projection":
        return tree
    left, inner = tree["children"]
    whole = {"type": "subexpression", "children": [left, inner["children"][0]]}
    return {"type": "projection", "children": [whole, inner["children"][1]]}


def unify(tree: Any, given: Any, bound: Bound) -> None:
    """Find what an expression was given, from what it gave."""
    tree = _lifted(tree)
    children = tree.get("children") or []
    match tree["type"], tree.get("value"):
        case "literal", value:
            if value != given:
                raise Mismatch
        case "field", "version" | "address" as name:
            bound["asked"][name] = given
        case "field", ("content" | "kept" | "secret") as name if isinstance(given, dict):
            bound[name] |= given
        case "subexpression", _ if all(each["type"] == "field" for each in children):
            name, inner = children[0]["value"], children[1]["value"]
            if name in ("id", "content", "kept", "secret"):
                bound[name][inner] = given
        case "function_expression", "base64":
            unify(children[0], base64.b64decode(given).decode(), bound)
        case "function_expression", "quote" if isinstance(given, str) and given[:1] == given[-1:] == '"':
            unify(children[0], re.sub(r"\\(.)", r"\1", given[1:-1]), bound)
        case "function_expression", "concat" if isinstance(given, str):
            head = children[0]["value"] if children[0]["type"] == "literal" else ""
            if len(children) != 2 or not given.startswith(head):
                raise Mismatch
            unify(children[1], given[len(head) :], bound)
        case "function_expression", "if":
            unify(children[2], given, bound)
        case "function_expression", "or_null" | "lower" | "with_end":
            unify(children[0], given, bound)
        case "projection", _ if children[1]["type"] == "multi_select_dict" and isinstance(given, list):
            pairs = children[1]["children"]
            whole = [pair["value"] for pair in pairs if pair["children"][0]["type"] == "current"]
            if not whole:
                raise Mismatch
            unify(children[0], [each[whole[0]] for each in given], bound)
        case "projection", _ if children[1]["type"] == "identity":
            unify(children[0], given, bound)
        case _:
            raise Mismatch


def value_of(tree: Any, root: Mapping[str, Any]) -> Any:
    """Return what a tree gives. Raises InputError for functions of ours."""
    try:
        return ParsedResult("", tree).search(dict(root))
    except JMESPathError as error:
        raise InputError(f"it calls a function of an answer ({error})") from None


def fit(tree: Any, root: dict[str, Any]) -> None:
    """Have `where` give true, as far as comparisons say how."""
    children = tree.get("children") or []
    match tree["type"], tree.get("value"):
        case "and_expression", _:
            for each in children:
                fit(each, root)
        case "or_expression", _:
            fit(children[0], root)
        case "comparator", "eq":
            value = value_of(children[1], root)
            if value is not None and value_of(children[0], root) != value:
                put(children[0], root, value)
        case "comparator", "ne":
            if value_of(children[1], root) is None and value_of(children[0], root) is None:
                put(children[0], root, "1")


def put(tree: Any, root: dict[str, Any], value: Any) -> None:
    """Have a path in `root` give a value."""
    tree = _lifted(tree)
    children = tree.get("children") or []
    if tree["type"] == "function_expression" and tree["value"] == "unbase64":
        encoded = None if value is None else base64.b64encode(str(value).encode()).decode()
        return put(children[0], root, encoded)
    if tree["type"] == "projection":
        if children[1]["type"] in ("field", "subexpression"):
            items: list[dict[str, Any]] = [{} for _ in value or []]
            for item, each in zip(items, value or [], strict=True):
                put(children[1], item, each)
            value = items
        return put(children[0], root, value)
    steps = list(_steps(tree))
    holder: Any = root
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        fresh: Any = value if last else [] if isinstance(steps[place + 1], int) else {}
        if isinstance(step, int):
            while len(holder) <= step:
                holder.append(None)
            if last or holder[step] is None:
                holder[step] = fresh
        elif last or not isinstance(holder.get(step), type(fresh)):
            holder[step] = fresh
        holder = holder[step]
    return None


def _steps(tree: Any) -> Iterator[str | int]:
    match tree["type"]:
        case "field":
            yield tree["value"]
        case "index":
            yield int(tree["value"])
        case "identity":
            return
        case "subexpression" | "index_expression":
            for each in tree["children"]:
                yield from _steps(each)
        case kind:
            raise InputError(f"it takes {kind} of an answer, which the mock does not make")


def merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put what is in `over` into `under`, at every level."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            merge(under[key], value)
        else:
            under[key] = value
