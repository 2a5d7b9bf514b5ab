"""Where a worker, and beat, shows that it lives and is ready, and how that is read.

It imports next to nothing, for a probe runs every few seconds and its imports are what it costs.
"""

from __future__ import annotations

import os
import sys
import time

VARIABLE = "LOCKSTEP_HEARTBEAT_DIR"
EVERY = 5.0
"""Seconds between two beats."""
STALE = 30.0
"""Seconds after which a heartbeat is a dead one's; six beats, for a busy machine is late now and then."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""One for all processes of a machine, which nobody sets; the file's time is by it, not since 1970."""
FRESH = ".new"
BOOT = "/proc/sys/kernel/random/boot_id"


class HealthFiles:
    """The two files of one worker. They may outlive it, so each says which process wrote it."""

    def __init__(self, directory: str = "", of: str = "") -> None:
        """Name them; without a directory they are in one of this user's, which one worker alone can have.

        `of` another process than a worker, such as beat, they are beside the worker's.
        """
        before = f"{of}-" if of else ""
        temporary = os.environ.get("TMPDIR") or "/tmp"
        self.directory = directory or f"{temporary}/lockstep-worker-{os.getuid()}"
        self.live = f"{self.directory}/{before}live"
        """Written at every beat; its second line, if there is one, says why the worker does not live."""
        self.ready = f"{self.directory}/{before}ready"
        """There from when the worker takes tasks, or beat has sent its own, until it is told to stop."""

    def beat(self, trouble: str = "") -> None:
        """Show that the worker, which is this process, lives at this moment, or why it does not."""
        _write(self.live, trouble)

    def is_ready(self) -> None:
        _write(self.ready, "")

    def left(self) -> str:
        """Return why the process that had these files before ended itself; empty if it did not."""
        return _left(self.live)[1]

    def remove(self) -> None:
        for path in (self.live, self.ready, self.live + FRESH, self.ready + FRESH):
            try:
                os.unlink(path)  # noqa: PTH108
            except FileNotFoundError:
                continue

    def trouble(self, sign: str) -> str | None:
        """Say why the worker is not `live` or not `ready`; None when it is."""
        try:
            age = time.clock_gettime(CLOCK) - os.stat(self.live).st_mtime  # noqa: PTH116
            worker, trouble = _read(self.live)
        except OSError as error:
            return f"no heartbeat in {self.live}: {error.strerror}"
        pid = worker.partition(" ")[0]
        if worker != process(pid):
            return f"the heartbeat in {self.live} is that of a process that is gone"
        # One from the future is from before the machine was started.
        if abs(age) > STALE:
            return f"the heartbeat in {self.live} is {age:.0f} s old; {STALE:g} s are allowed"
        if trouble:
            return trouble
        if sign == "ready" and _left(self.ready)[0] != worker:
            return f"there is no {self.ready} of this process: it is starting or stopping"
        return None


def process(pid: int | str) -> str:
    """Return what tells a process from all others, of this and other starts of the machine; "" if it is gone.

    Where there is no /proc, that is its pid alone.
    """
    try:
        boot = _text(BOOT).strip()
    except OSError:
        return _by_pid(pid)
    try:
        # The name, in brackets, may have brackets and spaces itself; the state and the start time come after.
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else f"{pid} {fields[19]} {boot}"


def _by_pid(pid: int | str) -> str:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return ""
    except PermissionError:
        pass
    return f"{pid}"


def _write(path: str, more: str) -> None:
    """Replace a file atomically: a reader finds the old one or the new one."""
    fresh = path + FRESH
    with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f"{process(os.getpid())}\n{more}")
    now = time.clock_gettime_ns(CLOCK)
    os.utime(fresh, ns=(now, now))
    os.replace(fresh, path)  # noqa: PTH105


def _read(path: str) -> tuple[str, str]:
    worker, _, more = _text(path).partition("\n")
    return worker, " ".join(more.split())


def _left(path: str) -> tuple[str, str]:
    try:
        return _read(path)
    except OSError:
        return "", ""


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


USAGE = "usage: python -m lockstep.worker.monitoring.probe live|ready [beat]"


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 for yes, 1 for no, 2 for a question that it does not know."""
    sign, *of = arguments or [""]
    if sign not in ("live", "ready") or of not in ([], ["beat"]):
        sys.stderr.write(f"{USAGE}\n")
        return 2
    trouble = HealthFiles(os.environ.get(VARIABLE, ""), *of).trouble(sign)
    if trouble is None:
        return 0
    sys.stderr.write(f"not {sign}: {trouble}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
