"""Lets other shells find the stack that runs from this environment, and keeps a second one from starting."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from lockstep.producer.client.discovery import RunningStack, discover, discovery_file
from lockstep.producer.stack.child import StackError

PATIENCE = 0.5
"""Seconds to try for the lock: somebody who looks whether a stack runs holds it for a moment."""


class AlreadyRunning(StackError):
    """A stack runs from this environment."""


class Publication:
    """The lock on the discovery file's directory, held as long as the stack or its guard lives."""

    def __init__(self) -> None:
        """Take the lock. Raises AlreadyRunning, and OSError when the environment cannot be written to."""
        self.path: Path = discovery_file()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.path.parent, os.O_RDONLY)
        self._held = [self.lock]
        deadline = time.monotonic() + PATIENCE
        while not self._locked():
            if time.monotonic() > deadline:
                self._let_go()
                raise AlreadyRunning(already_running())
            time.sleep(0.01)
        self.path.unlink(missing_ok=True)

    def publish(self, stack: RunningStack) -> None:
        """Write the discovery file, whole or not at all."""
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        # For its owner alone: the URL of Redis has the password in it.
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(json.dumps(asdict(stack), indent=2) + "\n")
        draft.replace(self.path)

    def withdraw(self) -> None:
        """Remove the file and let go of the lock; the guard's hold on it ends with the guard."""
        self.path.unlink(missing_ok=True)
        self._let_go()

    def leave(self) -> None:
        """Let go of the lock alone, in a forked child: its parent holds it."""
        self._let_go()

    def _let_go(self) -> None:
        # Once, whichever signal comes in between: the number may be another file's by then.
        with contextlib.suppress(IndexError):
            os.close(self._held.pop())

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def already_running() -> str:
    """Say that a stack runs, and which."""
    running = discover()
    which = f" (process {running.pid})" if running else ""
    return f"a stack already runs from this environment{which}; use it, or stop it with Ctrl-C"
