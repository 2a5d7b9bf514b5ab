"""Rules for the names that people give: group ids and operation ids."""

from __future__ import annotations

import re

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import GroupId, OperationId

MAX_LENGTH = 128
_ALLOWED = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_SHOWN = 60
_USERINFO = re.compile(r"//.*@")


def parse_group_id(value: object) -> GroupId:
    """Return the value as a group id; raise InvalidInput naming the value and the rule it breaks."""
    return GroupId(_parse("group id", value))


def parse_operation_id(value: object) -> OperationId:
    """Return the value as an operation id; raise InvalidInput naming the value and the rule it breaks."""
    return OperationId(_parse("operation id", value))


def is_plain_name(value: str) -> bool:
    """Tell whether a string keeps the rule for names: 1 to 128 characters of A-Z a-z 0-9 . _ -."""
    return len(value) <= MAX_LENGTH and bool(_ALLOWED.fullmatch(value)) and value not in (".", "..")


def show(value: object) -> str:
    """Return a value as it can stand in a one-line message: quoted, escaped and shortened."""
    text = ascii(value) if not isinstance(value, str) else '"' + ascii(value)[1:-1].replace('"', '\\"') + '"'
    text = _USERINFO.sub("//…@", text)  # a user or a password in a URL is nobody's to read
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _parse(noun: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{noun} {show(value)} is of type {type(value).__name__}: it must be a string")
    if not value.strip():
        raise InvalidInput(
            f"{noun} {show(value)} is empty: give 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 . _ -"
        )
    if len(value) > MAX_LENGTH:
        raise InvalidInput(f"{noun} {show(value)} is too long: at most {MAX_LENGTH} characters")
    if not _ALLOWED.fullmatch(value):
        raise InvalidInput(f"{noun} {show(value)} has a character outside A-Z a-z 0-9 . _ -: use only those")
    if value in (".", ".."):
        raise InvalidInput(
            f"{noun} {show(value)} is a path segment that URLs resolve away: choose another name"
        )
    return value
