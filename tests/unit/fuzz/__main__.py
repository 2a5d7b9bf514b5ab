"""Fuzz until the time is over: `python -m tests.unit.fuzz --minutes 10`; 1 when something was found.

What was found is kept in `.fuzz`, or in the folder `FUZZ_CORPUS`, and tried first by every later run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXAMPLES = 1000
"""Of each test in one round."""


def main() -> int:
    """Fuzz all."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    return rounds_of("tests/unit/fuzz", parser.parse_args().minutes)


def rounds_of(tests: str, minutes: float) -> int:
    """Run rounds of such tests until the time is over, or something is found; return the exit code."""
    corpus = os.environ.get("FUZZ_CORPUS", str(ROOT / ".fuzz"))
    environment = {**os.environ, "FUZZ_EXAMPLES": str(EXAMPLES), "FUZZ_CORPUS": corpus}
    # Hypothesis draws a seed for each; where one is given, it neither reads what was kept nor keeps anything.
    command = [sys.executable, "-m", "pytest", "-q", tests]
    until, rounds = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < until:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout, done.stderr, f"it is kept in {corpus}", sep="\n")
            return 1
        rounds += 1
        print(f"round {rounds}: {done.stdout.splitlines()[-1]}", flush=True)
    print(f"{rounds} rounds of {EXAMPLES} examples for each test; nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
