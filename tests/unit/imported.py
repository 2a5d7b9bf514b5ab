"""What Python code uses of the modules that it imports, by full names, however it imports them."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def used(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of all that is read of imports: `time.time` of `from time import time as now`."""
    names = _imported(tree)
    found = (_full(node, names) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute))
    yield from (name for name in found if name is not None)


def called(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything imported that is called, or that a class is made from."""
    names = _imported(tree)
    for node in ast.walk(tree):
        made = [node.func] if isinstance(node, ast.Call) else []
        for each in made + (node.bases if isinstance(node, ast.ClassDef) else []):
            if (name := _full(each.value if isinstance(each, ast.Subscript) else each, names)) is not None:
                yield name


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what the code calls each thing that it has imported, and the full name of that."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]
                names |= {each.asname: each.name} if each.asname else {first: first}
    return names


def _full(node: ast.AST, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Attribute):
        of = _full(node.value, names)
        return of and f"{of}.{node.attr}"
    return names.get(node.id) if isinstance(node, ast.Name) else None
