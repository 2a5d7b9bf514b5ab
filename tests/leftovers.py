"""What a command left behind: processes that bear a mark in their environment, and files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Pen:
    """Two empty directories: what a command writes lands here, what it starts is known by them."""

    work: Path
    temporary: Path

    @classmethod
    def under(cls, directory: Path) -> Pen:
        pen = cls(directory / "work", directory / "temporary")
        pen.work.mkdir()
        pen.temporary.mkdir()
        return pen

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
        return {**kept, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1", **(more or {})}

    def left(self) -> list[str]:
        """Name what there is: files, and processes that were started with this environment."""
        files = [str(path) for folder in (self.work, self.temporary) for path in folder.iterdir()]
        return files + [f"process {line}" for line in living(self.temporary)]


def living(temporary: Path) -> list[str]:
    """Return the pid and command of each living process that was given this TMPDIR, or that works in it."""
    if PROC.is_dir():
        return [found for path in PROC.glob("[0-9]*") if (found := described(path, temporary))]
    listed = subprocess.run(
        ["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    )
    return [line[:100] for line in listed.stdout.splitlines() if f"TMPDIR={temporary}" in line]


def described(process: Path, temporary: Path) -> str | None:
    try:
        given = f"TMPDIR={temporary}".encode() in (process / "environ").read_bytes().split(b"\0")
        # A Redis server writes its title over its environment.
        if not given and not (process / "cwd").readlink().is_relative_to(temporary):
            return None
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:  # it ended meanwhile, or is somebody else's
        return None
    return f"{process.name} {command}"
