"""Run the suites, show what each took, and end with one line: `N passed, N failed, N skipped`.

`python -m tests` runs all, `python -m tests --only unit --only contract` those two. A suite is a folder here.
`checks` comes first: ruff, mypy and import-linter, each command counting as one test. `image` builds and runs
the container image, counts as one, and where CI is not `true` it runs only if asked for.

Four suites run side by side, for some compute while others wait; when one has ended, its output is shown and
the next one starts. A suite that is asked for alone is shown while it runs.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple
from xml.etree import ElementTree

from tests.children import take_bytecode
from tests.waits import eventually

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
BYTECODE = ROOT / ".venv" / ".cache" / "pycache"

CHECKS = "checks"
IMAGE = "image"
# Cheap suites first, so that a mistake shows early, and the longest beside them; then those that mostly wait,
# with any other folder that holds tests; last those that keep all processors busy to the end.
ORDER = (CHECKS, "unit", "integration", "chaos", "contract", "clocks", "ship", "e2e")
COMPUTING = ("model", "simulation")
SIDE_BY_SIDE = 4

TYPED = ("lockstep", "tests", "benchmarks")

# Tests that compute use two processors; those that wait for real processes most of the time share them with
# more. A file stays in one process where it shares fixtures.
BOTH = ("--numprocesses", "2", "--dist", "worksteal")
AT_ONCE = {
    **dict.fromkeys(("unit", "contract", "model", "simulation", "e2e"), BOTH),
    "clocks": ("--numprocesses", "3", "--dist", "load"),
    "integration": ("--numprocesses", "4", "--dist", "loadfile"),
    "watch": ("--numprocesses", "3", "--dist", "loadfile"),
}

TEARDOWN_SECONDS = 30  # for a suite to put its processes away after it was interrupted
NOT_CHECKED = 3  # what tests.ship.image ends with where it may be skipped
INTERRUPTED = 130  # what a shell reports for a command that SIGINT ended
ROW = re.compile(r"^\w+ +(\d+) +(\d+) +(\d+) +[\d.]+ +([\d.]+)\n\n.* skipped\n\Z", re.MULTILINE)
"""How a suite that ran alone ends."""


class Terminated(KeyboardInterrupt):
    """This process was told to stop, and the suites that it runs were not."""


class Counts(NamedTuple):
    """Tests by how they ended; an error is a failure."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one suite came to, how long it took, and of that, how long it computed on one processor."""

    suite: str
    counts: Counts
    seconds: float
    computed: float


def main() -> int:
    """Run the suites that were asked for; 0 if all that was run passed."""
    suites = (*ORDER, *other_suites(), IMAGE, *COMPUTING)
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--only", action="append", choices=suites, metavar="SUITE", help=", ".join(suites))
    only = parser.parse_args().only
    _refuse_loose_tests()
    _listen_to_signals()
    take_bytecode(BYTECODE)

    chosen = [suite for suite in suites if (suite in only if only else _by_default(suite))]
    outcomes: list[Outcome] = []
    try:
        if len(chosen) == 1:
            outcomes.append(_run(*chosen))
        else:
            _run_side_by_side(chosen, outcomes)
    except KeyboardInterrupt:
        _say("\ninterrupted: what was running is not counted")
        _report(outcomes)
        return INTERRUPTED
    _report(outcomes)
    return 1 if any(outcome.counts.failed for outcome in outcomes) else 0


def _by_default(suite: str) -> bool:
    if suite == IMAGE:
        return os.environ.get("CI", "").lower() in ("1", "true")
    return suite == CHECKS or (TESTS / suite).is_dir()


def other_suites() -> list[str]:
    """Folders with tests that have no place of their own, so that none is forgotten."""
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    return sorted(folders - {*ORDER, *COMPUTING})


def _refuse_loose_tests() -> None:
    for path in TESTS.glob("test_*.py"):
        raise SystemExit(
            f"error: tests/{path.name} is in no suite and would never run; move it into a folder"
        )


@dataclass(frozen=True, slots=True)
class Running:
    """A suite that runs in a process of its own, as if it had been asked for alone."""

    suite: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    began: float

    def show(self) -> Outcome:
        """Show what it printed; return what it came to."""
        self.output.seek(0)
        shutil.copyfileobj(self.output, sys.stdout.buffer)
        sys.stdout.flush()
        self.output.seek(max(0, self.output.tell() - 200))
        told = ROW.search(self.output.read().decode("utf-8", "replace"))
        counts = Counts(*map(int, told.groups()[:3])) if told else Counts(failed=1)
        if self.process.returncode and not counts.failed:
            counts = Counts(counts.passed, 1, counts.skipped)
        return Outcome(self.suite, counts, time.monotonic() - self.began, float(told[4]) if told else 0.0)


def _ended(running: Sequence[Running]) -> list[Running]:
    return [each for each in running if each.process.poll() is not None]


def _run_side_by_side(suites: Sequence[str], outcomes: list[Outcome]) -> None:
    """Run the suites and append what they come to; when interrupted, wait until all have cleaned up."""
    left, running = list(suites), list[Running]()
    try:
        while left or running:
            while left and len(running) < SIDE_BY_SIDE:
                running.append(_start(left.pop(0)))
                _say(f"running: {', '.join(each.suite for each in running)}")
            for each in eventually(partial(_ended, running), "a suite ends", math.inf):
                running.remove(each)
                outcomes.append(each.show())
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Terminated):  # a Ctrl-C reached them as well
            for each in running:
                each.process.terminate()
        for each in running:
            each.process.wait()
            each.show()
        raise


def _start(suite: str) -> Running:
    output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the suite
    process = subprocess.Popen(command_for(suite), cwd=ROOT, stdout=output, stderr=output)
    return Running(suite, process, output, time.monotonic())


def command_for(suite: str) -> list[str]:
    """Return what runs a suite alone."""
    return [sys.executable, "-B", "-m", "tests", "--only", suite]


def _run(suite: str) -> Outcome:
    _say(f"\n=== {suite} ===\n")
    start = time.monotonic()
    run = {CHECKS: _run_checks, IMAGE: _run_image}.get(suite, lambda: _run_pytest(suite))
    counts = run()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Outcome(suite, counts, time.monotonic() - start, ended.ru_utime + ended.ru_stime)


def _run_checks() -> Counts:
    failed = 0
    commands = _checks()
    for command in commands:
        _say(f"$ {' '.join(command)}")
        status = _call([str(Path(sys.executable).with_name(command[0])), *command[1:]])
        if status:
            failed += 1
            _say(f"{command[0]} failed with exit status {status}")
    return Counts(passed=len(commands) - failed, failed=failed)


def _checks() -> list[list[str]]:
    typed = [folder for folder in TYPED if (ROOT / folder).is_dir()]
    return [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy", *(word for package in typed for word in ("-p", package))],
        ["lint-imports", "--no-logo", "--no-cache"],
    ]


def _run_image() -> Counts:
    status = _call([sys.executable, "-m", "tests.ship.image"])
    return Counts(int(status == 0), int(status not in (0, NOT_CHECKED)), int(status == NOT_CHECKED))


def _run_pytest(suite: str) -> Counts:
    with tempfile.TemporaryDirectory(prefix="lockstep-tests-") as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", f"tests/{suite}", f"--junit-xml={results}"]
        status = _call([*command, *AT_ONCE.get(suite, ())])
        counts = _count(results)
    if status and not counts.failed:
        # Nothing collected, a broken conftest, or pytest itself gone: no test says so, yet it is a failure.
        _say(f"{suite} failed: pytest ended with exit status {status}")
        counts = Counts(counts.passed, 1, counts.skipped)
    return counts


def _count(results: Path) -> Counts:
    """Read the results that pytest wrote; none if it did not get that far."""
    try:
        cases = list(ElementTree.parse(results).iter("testcase"))
    except (FileNotFoundError, ElementTree.ParseError):
        return Counts()
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Counts(len(cases) - failed - skipped, failed, skipped)


def _call(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit status; when interrupted, leave nothing of it behind."""
    with subprocess.Popen(command, cwd=ROOT, env=_environment()) as process:
        try:
            return process.wait()
        except KeyboardInterrupt as interrupt:
            # A Ctrl-C reached the suite as well, and a second one would cut its clean-up short.
            if isinstance(interrupt, Terminated):
                process.send_signal(signal.SIGINT)
            try:
                process.wait(TEARDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _environment() -> dict[str, str]:
    """This environment, with output as it comes, and bytecode kept out of the work tree."""
    environment = {"PYTHONUNBUFFERED": "1", "PYTHONPYCACHEPREFIX": str(BYTECODE), **os.environ}
    # Without bytecode each of the thousand processes that tests start would compile all that it imports.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _listen_to_signals() -> None:
    # A shell starts what runs in the background deaf to SIGINT, and suites would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _report(outcomes: Sequence[Outcome]) -> None:
    _say(f"\n{'suite':<14}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>10}{'computed':>10}")
    for each in outcomes:
        counts = "".join(f"{count:>8}" for count in each.counts)
        _say(f"{each.suite:<14}{counts}{each.seconds:>10.1f}{each.computed:>10.1f}")
    passed, failed, skipped = (sum(each.counts[n] for each in outcomes) for n in range(3))
    _say(f"\n{passed} passed, {failed} failed, {skipped} skipped")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
