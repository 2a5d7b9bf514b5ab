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
    """Run rounds of the fuzz tests, each with a seed of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1_000_000)
    given = parser.parse_args()
    corpus = os.environ.get("FUZZ_CORPUS", str(ROOT / ".fuzz"))
    environment = {**os.environ, "FUZZ_EXAMPLES": str(EXAMPLES), "HYPOTHESIS_STORAGE_DIRECTORY": corpus}
    until, rounds = time.monotonic() + 60 * given.minutes, 0
    while time.monotonic() < until:
        seed = given.seed + rounds
        command = [sys.executable, "-m", "pytest", "-q", "tests/unit/fuzz", f"--hypothesis-seed={seed}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout, done.stderr, f"seed {seed}; the corpus is in {corpus}", sep="\n")
            return 1
        rounds += 1
        print(f"round {rounds}, seed {seed}: {done.stdout.splitlines()[-1]}", flush=True)
    print(f"{rounds} rounds of {EXAMPLES} examples for each test; nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
