"""Where settings come from, LOCKSTEP_ variables and files, and what is said of a wrong one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import MOST_AT_ONCE
from lockstep.worker.operation.names import show
from lockstep.worker.process.secrets import Secret
from lockstep.worker.settings.redis_url import password_in, read_address, without_password

PREFIX = "LOCKSTEP_"
PLAIN_PREFIX = re.compile(r"[A-Za-z0-9._:/-]{0,100}", re.ASCII)
FILES = ("hosts_ca_file", "redis_ca_file", "redis_cert_file", "redis_key_file", "seal_key_file")
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S*", re.ASCII)
SERVICE_LINKS = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)",
    re.ASCII,
)
"""Kubernetes gives a container such variables for every service beside it, like `lockstep-redis`."""
NUMBERS: dict[str, tuple[type[float], Callable[[float], bool], str]] = {
    "Seconds": (float, lambda number: 0 < number < inf, "a number above 0"),
    "Share": (float, lambda number: 0 < number <= 1, "a number above 0 and at most 1"),
    "Count": (int, lambda number: number > 0, "a whole number above 0"),
    "Tries": (int, lambda number: number >= 0, "0 or a whole number above it"),
    "Rate": (float, lambda number: 0.01 <= number <= 1000, "a number from 0.01 to 1000"),
    "AtOnce": (int, lambda number: 0 < number <= MOST_AT_ONCE, f"a whole number from 1 to {MOST_AT_ONCE}"),
    "Port": (int, lambda number: 0 < number < 65_536, "a port, from 1 to 65535"),
}
"""What a number must be, by what its setting is."""


def value_of(name: str, kind: str, given: object) -> object:
    """Return a setting of a kind, which is its annotation. Raises ValueError with the rule that it breaks."""
    value = _of_kind(kind, given)
    if name == "redis_url" and isinstance(value, Secret):
        read_address(value.reveal())
    elif name == "key_prefix" and not PLAIN_PREFIX.fullmatch(str(value)):
        # Redis takes channels for patterns, and kombu compares keys as bytes and as text.
        raise ValueError("use up to 100 characters of A-Z a-z 0-9 . _ - : / in a key prefix, and no others")
    elif name == "redis_password_file" and value:
        password_in(readable(str(value)))
    elif name in FILES and value:
        readable(str(value))
    return value


def _of_kind(kind: str, value: object) -> object:
    if value is None and kind.endswith(" | None"):
        return None
    if number := NUMBERS.get(kind.removesuffix(" | None")):
        return _number(value, *number)
    if kind in ("RedisUrl", "Password") and isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    if kind in ("RedisUrl", "Password"):
        return Secret(value, whole=kind == "Password")  # of a URL, its address knows what is secret
    choices = re.findall(r"'(\w+)'", kind)
    if choices and value not in choices:
        raise ValueError(f"it must be {' or '.join(choices)}")
    return value


def _number(value: object, kind: type[float], fits: Callable[[float], bool], rule: str) -> float:
    try:
        number = kind(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1
        if fits(number) and (isinstance(value, str) or number == value):
            return number
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"it must be {rule}")


def read(fields: Iterable[str], secrets: str) -> dict[str, str]:
    """Return those of these settings that a variable gives, or else a file in the folder `secrets`."""
    found = {}
    try:
        files = (
            {file.name.upper(): file for file in Path(secrets).iterdir()} if Path(secrets).is_dir() else {}
        )
        for name in fields:
            variable = PREFIX + name.upper()
            if (given := os.environ.get(variable)) is not None:
                found[name] = given
            elif (file := files.get(variable)) and file.is_file():
                found[name] = file.read_text("utf-8").strip()
    except (OSError, UnicodeError):
        rule = "a setting in it cannot be read: see that it is UTF-8, and who may read it"
        raise InvalidInput(f"{secrets}: {rule}") from None  # the error quotes the file
    return found


def refuse_unknown(fields: Iterable[str]) -> None:
    """Raise InvalidInput for a LOCKSTEP_ variable that is none of these settings."""
    known = [PREFIX + name.upper() for name in fields]
    for variable in sorted(os.environ):
        if variable.upper().startswith(PREFIX) and variable not in known and not _is_service_link(variable):
            nearest = difflib.get_close_matches(variable.upper(), known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "; docs/settings.md lists them all"
            raise InvalidInput(f"unknown setting {variable}{hint}")


def _is_service_link(variable: str) -> bool:
    """Tell whether Kubernetes set the variable: it is nobody's setting, and no mistake."""
    linked = variable.endswith("PORT") and SERVICE_LINK.fullmatch(os.environ[variable])
    return bool(linked or SERVICE_LINKS.fullmatch(variable))


def one_line(setting: str, given: object, said: str) -> str:
    """Say in one line what is wrong with a setting, without any part of a password."""
    name = PREFIX + setting.upper()
    if name == f"{PREFIX}REDIS_URL" and isinstance(given, str):
        given = without_password(given)
    if isinstance(given, str) and SERVICE_LINK.fullmatch(given):
        said = (
            "Kubernetes set this for a service of that name, over your own value if there was one: "
            "set `enableServiceLinks: false` in the pod, or name the service otherwise"
        )
    shown = show(given).replace("\\u2026", "…")  # which stands for what is left out
    return f"{name}={shown}: {said}"


def readable(path: str) -> str:
    """Return the path of a file. Raises ValueError if it cannot be read."""
    if not os.access(path, os.R_OK):
        raise ValueError("this file cannot be read: see that it is there, and who may read it")
    if Path(path).is_dir():
        raise ValueError("this is a folder: name a file in it")
    return path


def read_text(noun: str, file: Path | str | int) -> str:
    """Return the text of a file, or of a descriptor. Raises InvalidInput, which begins with the noun."""
    try:
        with open(file, encoding="utf-8-sig", closefd=not isinstance(file, int)) as opened:
            return opened.read()
    except OSError as error:
        raise InvalidInput(f"{noun} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{noun} is no UTF-8 text: {error.reason}") from error


def version_of(path: Path | str) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced or written, wherever links lead; None without it."""
    try:
        said = os.stat(path)  # noqa: PTH116 - a call to a host with TLS asks three times
    except OSError:
        return None
    return said.st_dev, said.st_ino, said.st_size, said.st_ctime_ns, said.st_mtime_ns
