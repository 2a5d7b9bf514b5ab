"""CPU and memory of processes and all that they started, from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
SESSION, UTIME, STIME, CUTIME, CSTIME = 3, 11, 12, 13, 14
"""Fields of /proc/PID/stat behind the command's name."""


def members(leaders: Iterable[int]) -> list[int]:
    """Return every living process of the sessions that these lead: a child of the stack leads its own."""
    wanted = set(leaders)
    found = []
    for path in PROC.glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields and int(fields[SESSION]) in wanted:
            found.append(int(path.name))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that these have used so far, with that of children they have waited for."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            total += sum(int(fields[field]) for field in (UTIME, STIME, CUTIME, CSTIME))
    return total / TICK


def resident_mb(pids: Iterable[int]) -> float:
    """Return their resident memory now, in MiB."""
    return sum(_status(pid, "VmRSS") for pid in pids) / 1024


def peak_mb(pids: Iterable[int]) -> float:
    """Return the highest resident memory of each since `forget_peaks`, summed, in MiB."""
    return sum(_status(pid, "VmHWM") for pid in pids) / 1024


def forget_peaks(pids: Iterable[int]) -> None:
    """Begin to look for the highest anew."""
    for pid in pids:
        with contextlib.suppress(OSError):
            (PROC / str(pid) / "clear_refs").write_text("5")


def _stat(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: int, name: str) -> int:
    try:
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
