"""How an embedded stack is found by what else runs from its environment, and kept from starting twice."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lockstep.worker.settings import Settings, load_settings

FORMAT = 2
PATIENCE = 0.5
"""Seconds to try for the lock: somebody who looks whether a stack runs holds it for a moment."""


class StackError(Exception):
    """A part of the stack cannot start; says which and why."""


class AlreadyRunning(StackError):
    """A stack runs from this environment."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A running stack: who it is, where its mock cluster is, and the settings to reach it with."""

    pid: int
    admin_url: str
    settings: dict[str, str]
    """Every setting of its workers by field name: `load_settings(**settings)`."""
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
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_secret(path: Path, text: str) -> None:
    """Write a new file for its owner alone."""
    path.touch(0o600, exist_ok=False)
    path.write_text(text, "utf-8")


def default_settings() -> Settings:
    """Read the LOCKSTEP_* environment, or what the stack here has if it names none. Raises InvalidInput."""
    settings = load_settings()
    if settings.given.isdisjoint(("redis_url", "hosts", "inventory")) and (found := discover()):
        return load_settings(**found.settings)
    return settings


class Publication:
    """The lock on the discovery file's directory, held as long as the stack or its guard lives."""

    def __init__(self) -> None:
        """Take the lock. Raises AlreadyRunning, and OSError when the environment cannot be written to."""
        self.path: Path = discovery_file()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.path.parent, os.O_RDONLY)
        self._held = [self.lock]
        deadline = time.monotonic() + PATIENCE
        while not _locked(self.lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                self.leave()
                running = discover()
                which = f" (process {running.pid})" if running else ""
                raise AlreadyRunning(
                    f"a stack already runs from this environment{which}; use it, or stop it with Ctrl-C"
                )
            time.sleep(0.01)
        self.path.unlink(missing_ok=True)

    def publish(self, stack: RunningStack) -> None:
        """Write the discovery file, whole or not at all."""
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        write_secret(draft, json.dumps(asdict(stack), indent=2) + "\n")  # the URL of Redis has the password
        draft.replace(self.path)

    def withdraw(self) -> None:
        """Remove the file and let go of the lock; the guard's hold on it ends with the guard."""
        self.path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let go of the lock alone, as a forked child does: its parent holds it."""
        # Once, whichever signal comes in between: the number may be another file's by then.
        with contextlib.suppress(IndexError):
            os.close(self._held.pop())
