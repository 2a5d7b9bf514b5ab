"""What callers give: names, notes, numbers and times, the rules that they must keep, and how they are shown.

Each `parse_` function returns the value as it is used, or raises InvalidInput naming value, rule and remedy.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import GroupId, Millis, OperationId

N = TypeVar("N")
T = TypeVar("T")
MAX_LENGTH = 128
NOTE_LENGTH = 200
MOST_RETRIES = 1_000_000
MOST_LISTED = 10_000
LONGEST_WATCH = 3600
NAMED = 5
"""How many hosts are named before the rest is counted."""
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
KIND = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_ALLOWED = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_THING = re.compile(r"[A-Za-z0-9._-]+(?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)+", re.ASCII)
LONGEST_SUBJECT = 8192
_SHOWN = 60
_USERINFO = re.compile(r"//.*@")


def show(value: object) -> str:
    """Return a value as it can stand in a one-line message: quoted, escaped and shortened."""
    try:
        text = ascii(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number that is too long to show"
    if isinstance(value, str):
        text = '"' + text[1:-1].replace('"', '\\"') + '"'
    text = _USERINFO.sub("//…@", text)  # a user or a password in a URL is nobody's to read
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def subject(group: str) -> str:
    """Return a group or a thing as sentences call it."""
    return group if "/" in group else f'group "{group}"'


def counted(number: int, what: str = "host") -> str:
    """Return `1 host` or `3 hosts`, or as many of something else."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def named(hosts: Sequence[str]) -> str:
    """Name the first few hosts and count the others."""
    more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
    return ", ".join(hosts[:NAMED]) + more


def natural(name: str) -> tuple[tuple[float, str], ...]:
    """Sort key under which node2 stands before node10."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return tuple((int(part), "") if part.isdecimal() else (math.inf, part) for part in parts)


def seconds(milliseconds: int) -> str:
    """Return a duration as people read it: 340 ms, 2.5 s, 1 min 5 s, 3 h 20 min."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    whole = milliseconds // 1000
    if whole < 60:
        return f"{milliseconds // 100 / 10:g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".replace(" 0 s", "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def headers_for(args: tuple[str, ...], at: str = "") -> dict[str, str]:
    """Return the message headers of a task whose arguments are (operation, group[, host, …])."""
    return {"argsrepr": describe(*args, at=at), "root_id": args[0]}


def describe(operation: str, group: str, *hosts: str, at: str = "") -> str:
    """Return a task's arguments as events carry them: `team-a @ node3 · wave 2 · op 7f3c81d2aa01`.

    The id is whole, so that a search for it finds the operation; Flower's rows shorten it.
    """
    where = ""
    if hosts:
        where = f" @ {hosts[0]}" if len(hosts) == 1 else f" @ {len(hosts)} hosts, {hosts[0]} to {hosts[-1]}"
    return f"{group}{where}{at and f' · {at}'} · op {operation}"


def parse_group_id(value: object) -> GroupId:
    return GroupId(_name("group id", value))


def parse_operation_id(value: object) -> OperationId:
    return OperationId(_name("operation id", value))


def is_plain_name(value: str) -> bool:
    """Tell whether a string keeps the rule for names: 1 to 128 characters of A-Z a-z 0-9 . _ -."""
    return len(value) <= MAX_LENGTH and bool(_ALLOWED.fullmatch(value)) and value not in (".", "..")


def is_subject(value: str) -> bool:
    """Tell whether a string names what operations are about: a plain name, or `KIND/a/b`, percent-encoded."""
    return is_plain_name(value) or (len(value) <= LONGEST_SUBJECT and bool(_THING.fullmatch(value)))


def parse_note(noun: str, value: object) -> str:
    """Return free text for the record: one line of 1 to 200 printable characters."""
    text = _text(noun, value, NOTE_LENGTH, "characters").strip()
    if not text.isprintable():
        raise _refusal(noun, value, "is not printable: give one line of text")
    return text


def parse_deadline(value: object, longest: float) -> int:
    """Return seconds from now as milliseconds."""
    seconds = _seconds("deadline", value, "give seconds from now")
    if not math.isfinite(seconds) or seconds <= 0:
        raise _refusal("deadline", value, "is out of range: give a number of seconds above 0")
    if seconds > longest:
        raise _refusal("deadline", value, f"is too long: at most {longest:g} s, LOCKSTEP_RESULT_EXPIRES")
    return max(1, round(seconds * 1000))


def parse_timeout(value: object) -> float:
    """Return a timeout in seconds, infinity for None."""
    if value is None:
        return math.inf
    seconds = _seconds("timeout", value, "give seconds, or None")
    if not math.isfinite(seconds) or seconds < 0:
        rule = "is out of range: give 0 or more seconds, or leave it out to wait for ever"
        raise _refusal("timeout", value, rule)
    return seconds


def parse_retries(value: object) -> int | None:
    """Return how many tries beyond the first, None for no bound."""
    if value is None:
        return None
    rule = f"give a whole number from 0 to {MOST_RETRIES}, or leave it out"
    return int(_ranged("retries", value, True, lambda given: 0 <= given <= MOST_RETRIES, rule))


def parse_watch(value: object) -> float:
    """Return for how many seconds to look."""
    rule = f"give seconds above 0, at most {LONGEST_WATCH}"
    return _ranged("watch", value, False, lambda given: 0 < given <= LONGEST_WATCH, rule)


def parse_limit(value: object) -> int:
    rule = f"give a whole number from 1 to {MOST_LISTED}"
    return int(_ranged("limit", value, True, lambda given: 1 <= given <= MOST_LISTED, rule))


def alike(told: Iterable[tuple[N, T]]) -> Collection[tuple[T, list[N]]]:
    """Return whatever is told, each with the names of which it is."""
    found: dict[T, list[N]] = {}
    for name, what in told:
        found.setdefault(what, []).append(name)
    return found.items()


def parse_moment(noun: str, text: str, now: datetime) -> datetime:
    """Return the moment that a text means. Raises InvalidInput.

    Without an offset it is in the local zone; a time as it is shown, with that zone's name, is taken too.
    """
    ago = _AGO.fullmatch(text.strip())
    day, _, zone = text.strip().rpartition(" ")
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(day if zone in ("UTC", *time.tzname) else text.strip())
        utc = zone == "UTC" and found.tzinfo is None
        return found.replace(tzinfo=UTC) if utc else found.astimezone()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{noun} {show(text)} is no time: give 30m, 2h or 7d (ago), 2026-01-31, or 2026-01-31T12:00 in "
            "your time zone, or with an offset such as Z"
        ) from error


def millis_of(noun: str, at: datetime | None) -> Millis | None:
    """Return a moment as the record counts it. Raises InvalidInput for one without a time zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput(f"{noun} {at.isoformat()} has no time zone: give datetime.now(UTC) or the like")
    return Millis(round(at.timestamp() * 1000))


def whoami() -> str:
    """Return `user@host` as the operating system knows them."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose uid has no name
        user = f"uid-{os.getuid()}"
    text = f"{user}@{socket.gethostname()}"
    return "".join(each if each.isprintable() else "?" for each in text)[:NOTE_LENGTH]


def new_id() -> OperationId:
    """Return a random operation id: 12 hexadecimal characters."""
    return OperationId(secrets.token_hex(6))


def _refusal(noun: str, value: object, rule: str) -> InvalidInput:
    return InvalidInput(f"{noun} {show(value)} {rule}")


def _text(noun: str, value: object, longest: int, characters: str) -> str:
    if not isinstance(value, str):
        raise _refusal(noun, value, f"is of type {type(value).__name__}: it must be a string")
    if not value.strip():
        raise _refusal(noun, value, f"is empty: give 1 to {longest} {characters}")
    if len(value.strip()) > longest:
        raise _refusal(noun, value, f"is too long: at most {longest} characters")
    return value


def _name(noun: str, value: object) -> str:
    text = _text(noun, value, MAX_LENGTH, "characters of A-Z a-z 0-9 . _ -")
    if not _ALLOWED.fullmatch(text):
        raise _refusal(noun, value, "has a character outside A-Z a-z 0-9 . _ -: use only those")
    if text in (".", ".."):
        raise _refusal(noun, value, "is a path segment that URLs resolve away: choose another name")
    return text


def _seconds(noun: str, value: object, rule: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(noun, value, f"is of type {type(value).__name__}: {rule}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _ranged(noun: str, value: object, whole: bool, fits: Callable[[float], bool], rule: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not fits(value):
        raise _refusal(noun, value, f"is out of range: {rule}")
    return value
