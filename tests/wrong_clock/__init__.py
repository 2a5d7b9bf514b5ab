"""A wall clock of its own for one process, which a test sets while the process runs, by libfaketime."""

from __future__ import annotations

import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = Path("/usr/lib")
SHARED_MEMORY = Path("/dev/shm")
LIBRARY = "*/faketime/libfaketimeMT.so.1"


def library() -> Path | None:
    """Return libfaketime; None where it is not installed."""
    return next(LIBRARIES.glob(LIBRARY), None)


def sweep_up() -> None:
    """Remove what libfaketime left of processes that were killed."""
    for pattern in ("faketime_shm_*", "sem.faketime_sem_*"):
        for path in SHARED_MEMORY.glob(pattern):
            if not Path("/proc", path.name.rpartition("_")[2]).exists():
                path.unlink(missing_ok=True)


class WrongClock:
    """The wall clock of whichever processes are started with its `env`; monotonic clocks stay as they are."""

    def __init__(self, file: Path, *, at_once: bool = False) -> None:
        """Have what is set count at once, at the price of reading the file whenever time is asked for."""
        sweep_up()  # a process whose id an earlier one had ends at once if only half of that one's is there
        self._file = file
        self.ahead = 0.0
        self.set(0)
        self.env = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            **({"FAKETIME_NO_CACHE": "1"} if at_once else {"FAKETIME_CACHE_DURATION": "1"}),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its repair for an old C library has every wait with a deadline return at once, and then spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": f"{Path(__file__).parent}:{ROOT}",  # for sitecustomize.py
        }

    def set(self, seconds: float) -> None:
        """Put the clock so far ahead of the machine's, or behind, within a second."""
        self.ahead = seconds
        self._tell(f"{seconds:+.3f}")

    def stand_still(self, milliseconds: int) -> None:
        """Stop the clock at so many milliseconds since 1970, until it is set."""
        seconds, rest = divmod(milliseconds, 1000)
        # It is read as a fraction, which may come out a little below what was written.
        self._tell(time.strftime(f"%Y-%m-%d %H:%M:%S.{rest:03}00001", time.localtime(seconds)))

    def _tell(self, told: str) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{told}\n", "utf-8")
        draft.replace(self._file)
