"""Where settings come from: LOCKSTEP_ variables, those that are none, and what is said of a wrong one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, ValidationError

from lockstep.worker.connection.url import without_password
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show
from lockstep.worker.secrets import Secret

PREFIX = "LOCKSTEP_"
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S*", re.ASCII)
SERVICE_LINKS = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)",
    re.ASCII,
)
"""Kubernetes gives a container such variables for every service beside it, like `lockstep-redis`."""


def _url(value: object) -> Secret:
    if isinstance(value, str):
        return Secret(value, whole=False)  # its address knows what of it is secret
    if isinstance(value, Secret):
        return value
    raise ValueError("it must be a text")


def _password(value: object) -> Secret:
    return Secret(value) if isinstance(value, str) else _url(value)


RedisUrl = Annotated[Secret, PlainValidator(_url), PlainSerializer(str)]
Password = Annotated[Secret, PlainValidator(_password), PlainSerializer(str)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


def refuse_unknown(fields: Iterable[str]) -> None:
    """Raise InvalidInput for a LOCKSTEP_ variable that is none of these settings."""
    known = [PREFIX + name.upper() for name in fields]
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in known and not _is_service_link(variable):
            nearest = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "; docs/settings.md lists them all"
            raise InvalidInput(f"unknown setting {variable}{hint}")


def _is_service_link(variable: str) -> bool:
    """Tell whether Kubernetes set the variable: it is nobody's setting, and no mistake."""
    linked = variable.endswith("PORT") and SERVICE_LINK.fullmatch(os.environ[variable])
    return bool(linked or SERVICE_LINKS.fullmatch(variable))


def one_line(error: ValidationError) -> str:
    """Say in one line what is wrong with the settings, without any part of a password."""
    first = error.errors()[0]
    said = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return f"settings contradict each other: {said}"
    name = PREFIX + str(first["loc"][0]).upper()
    given = first["input"]
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
