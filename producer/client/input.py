"""Rules for what callers give besides names: who they are, why, and until when."""

from __future__ import annotations

import getpass
import math
import os
import secrets
import socket

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import OperationId
from lockstep.worker.operation.names import show

NOTE_LENGTH = 200
MOST_LISTED = 10_000
LONGEST_WATCH = 3600


def parse_note(noun: str, value: object) -> str:
    """Return free text for the record: one line of 1 to 200 printable characters; else raise InvalidInput."""
    if not isinstance(value, str):
        raise InvalidInput(f"{noun} {show(value)} is of type {type(value).__name__}: it must be a string")
    text = value.strip()
    if not text:
        raise InvalidInput(f"{noun} {show(value)} is empty: give 1 to {NOTE_LENGTH} characters")
    if len(text) > NOTE_LENGTH:
        raise InvalidInput(f"{noun} {show(value)} is too long: at most {NOTE_LENGTH} characters")
    if not text.isprintable():
        raise InvalidInput(f"{noun} {show(value)} is not printable: give one line of text")
    return text


def parse_deadline(value: object, longest: float) -> int:
    """Return seconds from now as milliseconds; raise InvalidInput naming the value and the rule."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"deadline {show(value)} is of type {type(value).__name__}: give seconds from now")
    if not math.isfinite(value) or value <= 0:
        raise InvalidInput(f"deadline {show(value)} is out of range: give a number of seconds above 0")
    if value > longest:
        raise InvalidInput(
            f"deadline {show(value)} is too long: at most {longest:g} s, LOCKSTEP_RESULT_EXPIRES"
        )
    return max(1, round(value * 1000))


def parse_retries(value: object) -> int | None:
    """Return how many tries beyond the first, None for no bound; raise InvalidInput naming the rule."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(
            f"retries {show(value)} is out of range: give a whole number of 0 or more, or leave it out"
        )
    return value


def parse_timeout(value: object) -> float:
    """Return a time-out in seconds, infinity for None; raise InvalidInput naming the rule it breaks."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"timeout {show(value)} is of type {type(value).__name__}: give seconds, or None")
    if not math.isfinite(value) or value < 0:
        rule = "give 0 or more seconds, or leave it out to wait for ever"
        raise InvalidInput(f"timeout {show(value)} is out of range: {rule}")
    return float(value)


def parse_watch(value: object) -> float:
    """Return how many seconds to look; raise InvalidInput naming the value and the rule."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_WATCH:
        raise InvalidInput(
            f"watch {show(value)} is out of range: give seconds above 0, at most {LONGEST_WATCH}"
        )
    return float(value)


def parse_limit(value: object) -> int:
    """Return how many operations to list; raise InvalidInput naming the value and the rule."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_LISTED:
        raise InvalidInput(
            f"limit {show(value)} is out of range: give a whole number from 1 to {MOST_LISTED}"
        )
    return value


def whoami() -> str:
    """Return `user@host` as the operating system knows them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose uid has no name
        user = f"uid-{os.getuid()}"
    text = f"{user}@{socket.gethostname()}"
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable[:NOTE_LENGTH]


def new_id() -> OperationId:
    """Return a random operation id: 12 hexadecimal characters."""
    return OperationId(secrets.token_hex(6))
