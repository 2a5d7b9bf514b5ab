"""Finds the embedded stack that runs from this environment, so that commands need no settings."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lockstep.worker.settings import Settings, load_settings

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A running stack: who it is, where it is, and the settings to reach it with."""

    pid: int
    redis_url: str
    inventory: str
    admin_url: str
    flower_url: str | None
    settings: dict[str, str]
    """Every setting of its workers by field name, those two included: `load_settings(**settings)`."""
    format: int = FORMAT


def discovery_file() -> Path:
    """Where a stack of this environment announces itself."""
    return Path(sys.prefix) / "var" / "lockstep" / "stack.json"


def discover() -> RunningStack | None:
    """Return the stack that runs from this environment; None if none does, whatever file one left behind."""
    path = discovery_file()
    try:
        found = json.loads(path.read_text("utf-8"))
        if found.get("format") != FORMAT or not is_held(path.parent):
            return None
        return RunningStack(**found)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def is_held(directory: Path) -> bool:
    """Tell whether a stack holds the lock, which ends with it however it ends, and which no pid can fake."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


WHERE = frozenset({"redis_url", "hosts", "inventory"})
"""Whoever sets one of these means a certain cluster."""


def default_settings() -> Settings:
    """Read the LOCKSTEP_* environment; if it names no cluster, take that of the stack that runs from here.

    Raises InvalidInput.
    """
    settings = load_settings()
    if settings.model_fields_set.isdisjoint(WHERE) and (found := discover()):
        return load_settings(**found.settings)
    return settings
