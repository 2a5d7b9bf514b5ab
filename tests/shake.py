"""Run suites many times while other work keeps every processor busy, and keep what failed: `make shake`.

A test that passes on a quiet machine alone is wrong. Several suites run at once, in an order that is drawn
anew for each round; what they leave of the processors, others take that do nothing else; and pytest is
paused wherever it is, again and again. What a run that failed printed stays in `.venv/shake`.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

from tests.__main__ import BYTECODE, CHECKS, COMPUTING, ORDER, ROOT, SIDE_BY_SIDE, command_for, other_suites
from tests.children import take_bytecode
from tests.waits import eventually

KEPT = ROOT / ".venv" / "shake"
# Works until whoever started it is gone, however that went, and gives way to the suites.
BUSY = "import os\nos.nice(19)\nwhile os.getppid() == {parent}:\n    for _ in range(1_000_000): pass"
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """Shake the suites that were asked for; 0 if no run of any failed."""
    suites = [suite for suite in (*ORDER, *other_suites(), *COMPUTING) if suite != CHECKS]
    parser = argparse.ArgumentParser(prog="python -m tests.shake", description=__doc__)
    parser.add_argument("--times", type=int, default=20, metavar="N", help="of each suite, 20 by default")
    parser.add_argument("--only", action="append", choices=suites, metavar="SUITE", help=", ".join(suites))
    chosen = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell starts what is deaf
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    take_bytecode(BYTECODE)  # before several suites would at once
    with busy():
        return 1 if shake(chosen.only or suites, chosen.times) else 0


@contextmanager
def busy() -> Iterator[None]:
    """Keep every processor at work, and pause pytest, until the end of the block."""
    program = BUSY.format(parent=os.getpid())
    workers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(os.cpu_count() or 1)]
    pauses = subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.pauses", str(os.getpid())], cwd=ROOT, stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        pauses.communicate()
        for worker in workers:
            worker.kill()
            worker.wait()


@dataclass(slots=True)
class Run:
    """One suite, running; its output goes into a file, which stays if it fails."""

    suite: str
    number: int
    began: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command_for(self.suite), cwd=ROOT, stdout=out, stderr=out)

    @property
    def log(self) -> Path:
        return KEPT / f"{self.suite}-{self.number}.log"


def shake(suites: Sequence[str], times: int) -> int:
    """Run each suite so many times, never beside itself; return how many of the runs failed."""
    left = [(suite, n) for n in range(1, times + 1) for suite in random.sample(suites, len(suites))]
    running: list[Run] = []
    ran, bad, seconds, tests = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    try:
        while left or running:
            for following in list(left):
                if len(running) < SIDE_BY_SIDE and following[0] not in {run.suite for run in running}:
                    left.remove(following)
                    running.append(Run(*following))
            for run in eventually(partial(ended, running), "a suite ends", inf):
                running.remove(run)
                ran[run.suite] += 1
                seconds[run.suite] += round(time.monotonic() - run.began)
                if run.process.returncode == 0:
                    run.log.unlink()
                    continue
                bad[run.suite] += 1
                names = FAILED.findall(run.log.read_text(errors="replace"))
                tests.update(names)
                told = f"{', '.join(names) or 'no test of it'}; see {run.log}"
                say(f"{run.suite}, run {run.number} of {times} failed: {told}")
    finally:  # a Ctrl-C reached them as well, and they put their processes away
        for run in running:
            run.process.wait()
        for suite, count in sorted(ran.items()):
            say(f"{suite}: {bad[suite]} of {count} runs failed, {seconds[suite] / count:.0f} s a run")
        for name, count in tests.most_common():
            say(f"  {count} times  {name}")
    return bad.total()


def ended(running: Sequence[Run]) -> list[Run]:
    """Return those that came to their end."""
    return [run for run in running if run.process.poll() is not None]


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
