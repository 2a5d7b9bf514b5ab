"""The guard: sees to it that no child and no file outlives this process, not even after `kill -9`.

It is a small process at the other end of a pipe. Every child reports its own pid into the pipe before it
becomes what it is to be (`LAUNCH`), so none is ever missed; when the pipe closes, because its owner closed it
or died, the guard kills what is left and removes the paths that it was given. Unlike PR_SET_PDEATHSIG this
works on macOS too, and for children that a thread started.

The same file is both ends: run as a script it is the guard, and then it imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

LAUNCH = ("/bin/sh", "-c", 'echo "+$0 $$" >&0 && exec "$@" </dev/null')
"""What a child's command is prefixed with, and then a number that no other child of this guard has; its
standard input must be the pipe. No guard, no child."""

LAST_WAIT = 1.0
"""Seconds to wait for killed processes to be gone: they are at once, but some systems reap orphans late,
which look alive until then."""


class Guard:
    """The owner's end. Closing it kills every child that still runs."""

    def __init__(self, remove: Sequence[Path] = (), hold: Sequence[int] = ()) -> None:
        """Start the guard. It removes the paths at the end, and keeps the descriptors open until then."""
        self._process = subprocess.Popen(
            # -I and -S: nothing of the environment, no site-packages; it is up in 15 ms.
            [sys.executable, "-I", "-S", __file__, *map(str, remove)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=hold,
            cwd="/",
            bufsize=0,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        self._numbers = itertools.count()
        from lockstep.worker.process.forks import renew_in_children

        renew_in_children(self)

    def start_anew(self) -> None:
        """Let go of the pipe in a forked child: the guard could not see that the owner is gone."""
        self._stdin.close()

    def launch(self) -> tuple[str, list[str]]:
        """Return a child's number, for `forget`, and what its command is prefixed with."""
        number = str(next(self._numbers))
        return number, [*LAUNCH, number]

    @property
    def pipe(self) -> int:
        """The descriptor that children get as their standard input."""
        return self._stdin.fileno()

    def forget(self, number: str) -> None:
        """Tell which child is gone, by its number: its pid may be another's, even a child's, by then."""
        with contextlib.suppress(OSError, ValueError):
            os.write(self.pipe, f"-{number}\n".encode())

    def close(self) -> None:
        """Kill the children that are left, remove the paths, and return when that is done."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5 * LAST_WAIT)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    alive = listen(sys.stdin.buffer)
    for pid in alive:
        # Every child leads its own process group, so its children go with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + LAST_WAIT
    while any(map(is_alive, alive)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for path in map(Path, sys.argv[1:]):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def listen(pipe: BinaryIO) -> set[int]:
    """Follow the reports until the pipe closes; return the pids of children not reported gone."""
    alive: dict[bytes, int] = {}
    for line in pipe:
        with contextlib.suppress(ValueError):
            number, _, pid = line[1:].strip().partition(b" ")
            if line.startswith(b"+"):
                alive[number] = int(pid)
            else:
                alive.pop(number, None)
    return set(alive.values())


def is_alive(pid: int) -> bool:
    """Tell whether a process with this pid exists; one that nobody has reaped yet does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
