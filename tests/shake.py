"""Run suites many times while other work keeps every processor busy, and keep what failed: `make shake`.

A test that passes on a quiet machine alone is wrong. What a run that failed printed stays in `.venv/shake`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.__main__ import CHECKS, COMPUTING, ORDER, ROOT, command_for, other_suites

KEPT = ROOT / ".venv" / "shake"
# Works until whoever started it is gone, however that went.
BUSY = "import os\nwhile os.getppid() == {parent}:\n    for _ in range(1_000_000): pass"
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """Shake the suites that were asked for; 0 if no run of any failed."""
    suites = [suite for suite in (*ORDER, *other_suites(), *COMPUTING) if suite != CHECKS]
    parser = argparse.ArgumentParser(prog="python -m tests.shake", description=__doc__)
    parser.add_argument("--times", type=int, default=20, metavar="N", help="of each suite, 20 by default")
    parser.add_argument("--only", action="append", choices=suites, metavar="SUITE", help=", ".join(suites))
    chosen = parser.parse_args()
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    with busy():
        failed = [shake(suite, chosen.times) for suite in chosen.only or suites]
    return 1 if any(failed) else 0


@contextmanager
def busy() -> Iterator[None]:
    """Keep every processor at work until the end of the block."""
    program = BUSY.format(parent=os.getpid())
    workers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def shake(suite: str, times: int) -> int:
    """Run the suite so many times; return how many of the runs failed."""
    runs, tests = 0, Counter[str]()
    started = time.monotonic()
    for run in range(1, times + 1):
        log = KEPT / f"{suite}-{run}.log"
        if passes(command_for(suite), log):
            log.unlink()
            continue
        runs += 1
        names = FAILED.findall(log.read_text(errors="replace"))
        tests.update(names)
        say(f"{suite}, run {run} of {times} failed: {', '.join(names) or 'no test of it'}; see {log}")
    took = time.monotonic() - started
    say(f"{suite}: {runs} of {times} runs failed, {took / times:.0f} s a run")
    for name, count in tests.most_common():
        say(f"  {count} times  {name}")
    return runs


def passes(command: Sequence[str], log: Path) -> bool:
    """Run the command to its end with its output in a file, and tell whether it succeeded."""
    with log.open("wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as process:
        try:
            return process.wait() == 0
        except KeyboardInterrupt:
            process.wait()  # a Ctrl-C reached it as well, and it puts its processes away
            raise


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
