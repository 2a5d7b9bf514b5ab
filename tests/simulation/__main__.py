"""Run schedules until told to stop, or so many; or replay one: `python -m tests.simulation [SEED]`."""

from __future__ import annotations

import argparse
import itertools
import os
import secrets
import sys
import time

from tests.simulation.choices import Choices
from tests.simulation.schedule import run_schedule
from tests.simulation.search import Tally, explain, search, shrink

EVERY = 1_000
FAILURES = 3
"""After so many a recorded run is not worth its time any more."""


def main() -> int:
    """Return 1 if a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="replay the schedule of this seed")
    parser.add_argument("--schedules", type=int, help="run so many on all processors, and count states")
    parser.add_argument("--first", type=int, default=secrets.randbelow(1 << 32), help="the first seed")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given.seed)
    return recorded(given.first, given.schedules) if given.schedules else endless(given.first)


def recorded(first: int, schedules: int) -> int:
    """Run so many schedules, and say what was seen."""
    began, done = time.monotonic(), itertools.count(1)
    told: list[int] = []
    print(f"first seed {first}", flush=True)

    def more(tally: Tally) -> bool:
        for seed, finding in tally.failed[len(told) :]:
            told.append(seed)
            print(f"seed {seed}: {finding.wrong}", flush=True)
        if (count := next(done)) % (10 * EVERY) == 0:
            rate = count / (time.monotonic() - began)
            states = f"{len(tally.states)} states, {len(tally.failed)} failed"
            print(f"{count} schedules, {states}, {rate:.0f}/s", flush=True)
        return len(tally.failed) < FAILURES

    tally = search(range(first, first + schedules), more, os.cpu_count() or 1, counting=True)
    print(f"\n{time.monotonic() - began:.0f} s\n\n{tally.table()}")
    return 1 if tally.failed else 0


def endless(first: int) -> int:
    """Run schedules until Ctrl-C."""
    tally = Tally()
    try:
        for seed in itertools.count(first):
            finding = run_schedule(Choices(seed))
            tally.add(seed, finding)
            if finding.wrong:
                print(f"\nseed {seed}: {finding.wrong}", flush=True)
            if (done := seed - first + 1) % EVERY == 0:
                print(f"\r{done} schedules, {len(tally.failed)} failed", end="", flush=True)
    except KeyboardInterrupt:
        print(f"\n\n{tally.table()}")
    return 1 if tally.failed else 0


def replay(seed: int) -> int:
    """Show one schedule; if it fails, also its core."""
    finding = run_schedule(Choices(seed), tracing=True)
    print("\n".join(finding.lines))
    if not finding.wrong:
        return 0
    print(f"\nseed {seed} fails: {finding.wrong}\nIts core:\n")
    print(explain(shrink(finding.trace, finding.wrong)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
