"""Pause pytest for a moment, again and again, until standard input ends: `python -m tests.pauses PID`.

Its processes below that one, one or all of them, wherever they are just then, as on a machine that has other
work. What they test is left alone, for tests stop and continue that themselves. It needs /proc.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

BETWEEN = (0.05, 0.4)
"""Seconds from one pause to the next, at least and at most."""
LONG = (0.02, 0.05, 0.1, 0.25)
"""Seconds that one takes."""
OURS = (b"\0pytest\0", b"\0import sys;exec(eval(sys.stdin.readline()))\0")
"""What the commands of pytest, and of the workers of its xdist, hold."""


def main() -> int:
    """Pause until nobody wants it any more."""
    root = int(sys.argv[1])
    while not ended_within(random.uniform(*BETWEEN)):
        found = testing(root)
        paused = found if random.random() < 0.3 else random.sample(found, min(1, len(found)))
        send(signal.SIGSTOP, paused)
        ended_within(random.choice(LONG))
        send(signal.SIGCONT, paused)
    return 0


def ended_within(seconds: float) -> bool:
    """Wait for the end of standard input."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def send(number: signal.Signals, processes: list[int]) -> None:
    """Send a signal to all of them that are still there."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def testing(root: int) -> list[int]:
    """Return the processes below one that run tests: pytest, and the workers of its xdist."""
    parents: dict[int, int] = {}
    commands: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(state[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes()
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [pid for pid in below - {root} if any(part in commands[pid] for part in OURS)]


if __name__ == "__main__":
    sys.exit(main())
