"""Make mutants of one file: `python tests/mutants/operators.py FILE` prints a line of JSON for each.

Of Python the operators are Cosmic Ray's, and the deletion of a call that stands alone; of Lua they are ours.
Run by an environment that has Cosmic Ray and nothing of ours.
"""

from __future__ import annotations

import ast
import difflib
import json
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TAKEN = re.compile(
    r"core/(ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt"
    r"|Is_IsNot|IsNot_Is)|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|BitOr_BitAnd|BitAnd_BitOr)"
    r"|ReplaceAndWithOr|ReplaceOrWithAnd|AddNot|ReplaceUnaryOperator_Delete_Not|ReplaceTrueWithFalse"
    r"|ReplaceFalseWithTrue|NumberReplacer|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ZeroIterationForLoop"
    r")"
)
"""Of six ways to break a comparison two are enough: its opposite, and its boundary."""
LUA = (
    (r" == ", " ~= "),
    (r" ~= ", " == "),
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" <= ", " > "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" >= ", " < "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r"\bnot ", ""),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"(?<![\w.\[])([0-9]+)(?![\w.\]])", lambda found: str(int(found[1]) + 1)),
)
CALL = re.compile(r"\s*(?:redis\.call|[a-z_]+)\(.*\)\s*")


class Bare(ast.NodeTransformer):
    """A tree without annotations and docstrings, which nothing runs."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def mutants(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each operator and the whole text that it makes."""
    text = path.read_text("utf-8")
    if path.suffix == ".lua":
        yield from of_lua(text)
        return
    same = bare(text)
    for name, made in [*of_python(text), *without_calls(text)]:
        if bare(made) not in (same, None):
            yield name, made


def bare(text: str) -> str | None:
    """Return what of it runs; None if it is no Python."""
    try:
        return ast.dump(Bare().visit(ast.parse(text)))
    except SyntaxError:
        return None


def of_python(text: str) -> Iterator[tuple[str, str]]:
    """Cosmic Ray's."""
    from cosmic_ray.ast import ast_nodes, get_ast  # type: ignore[import-not-found]
    from cosmic_ray.mutating import MutationVisitor  # type: ignore[import-not-found]
    from cosmic_ray.plugins import get_operator, operator_names  # type: ignore[import-not-found]

    tree = get_ast(text)
    kept, nodes = pickle.dumps(tree), list(ast_nodes(tree))  # parsed once: that takes longer than all else
    for name in filter(TAKEN.fullmatch, operator_names()):
        operator = get_operator(name)()
        for number in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
            made = MutationVisitor(number, operator).walk(pickle.loads(kept))
            yield name.removeprefix("core/"), made.get_code()


def without_calls(text: str) -> Iterator[tuple[str, str]]:
    """A call whose answer nobody takes, left out."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            indent = lines[first][: node.col_offset]
            if not indent.strip():
                yield "LeaveOutCall", "".join([*lines[:first], f"{indent}pass\n", *lines[last:]])


def of_lua(text: str) -> Iterator[tuple[str, str]]:
    """Each operator at each of its places, comments left alone."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        code, dashes, comment = line.partition("--")
        before, after = lines[:number], lines[number + 1 :]
        for pattern, new in LUA:
            for found in re.finditer(pattern, code):
                changed = code[: found.start()] + re.sub(pattern, new, found[0]) + code[found.end() :]
                yield (
                    f"{found[0].strip()} to {changed[found.start() :][:5].strip()}",
                    "".join([*before, changed, dashes, comment, *after]),
                )
        if CALL.fullmatch(code):
            yield "LeaveOutCall", "".join([*before, "\n", *after])


def changed(old: str, new: str) -> tuple[int, str, str]:
    """Return where two texts differ: the first line's number, and the lines of either."""
    one, other = old.splitlines(), new.splitlines()
    blocks = [each for each in difflib.SequenceMatcher(None, one, other).get_opcodes() if each[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    return first[1] + 1, "\n".join(one[first[1] : last[2]]), "\n".join(other[first[3] : last[4]])


if __name__ == "__main__":
    source = Path(sys.argv[1])
    original = source.read_text("utf-8")
    for name, made in mutants(source):
        line, old, new = changed(original, made)
        print(json.dumps({"operator": name, "line": line, "old": old, "new": new}))
