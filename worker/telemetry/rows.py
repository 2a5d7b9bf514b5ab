"""What a task looks like in Flower: `create_group  team-a @ node3 · op 7f3c81d2  applied`."""

from __future__ import annotations

import ast
import re
from typing import Any

PREFIX = "lockstep."
SHOWN = 8
_GENERATED_ID = re.compile(r"\bop ([0-9a-f]{12})$")
_REPR = re.compile(r"""^(['"]).*\1$""", re.DOTALL)


def shown(task: Any) -> Any:
    """Shorten what Flower shows of a task; searches still look at the whole, for Flower passes a copy."""
    if task.name:
        task.name = task.name.removeprefix(PREFIX)
    if task.args:
        task.args = _GENERATED_ID.sub(lambda found: f"op {found[1][:SHOWN]}", task.args)
    if task.result:
        task.result = plain(task.result)
    return task


def plain(result: str) -> str:
    """Return the text that a result's repr stands for; any other result as it is."""
    if not _REPR.match(result):
        return result
    try:
        return str(ast.literal_eval(result))
    except (ValueError, SyntaxError):  # cut short by Celery
        return result
