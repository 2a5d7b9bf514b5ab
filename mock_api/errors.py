"""What was wrong with what a person gave us, in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lockstep.mock_api.faults import Kind, Rule


class InputError(Exception):
    """Names the value, the rule it breaks and the remedy."""


def explain(error: Mapping[str, object]) -> str:
    """Put one entry of `ValidationError.errors()` in one line."""
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    path = error["loc"]
    where = ".".join(str(part) for part in path) if isinstance(path, tuple | list) else str(path)
    value = json.dumps(error.get("input"), default=str)
    match error["type"]:
        case "missing":
            return f'"{where}" is missing from {value}; kinds: {", ".join(Kind)}'
        case "extra_forbidden":
            return f'"{where}" is not known; the fields of a rule: {", ".join(Rule.model_fields)}'
        case "value_error":
            return f"{value}: {message}"
    return f"{where or 'the value'} is {value}; {message}"
