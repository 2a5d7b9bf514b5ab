"""Run schedules until told to stop, or replay one: `python -m tests.simulation [SEED]`."""

from __future__ import annotations

import itertools
import secrets
import sys

from tests.simulation.choices import Choices
from tests.simulation.schedule import run_schedule
from tests.simulation.search import Tally, explain, shrink

EVERY = 1_000


def main() -> int:
    """Return 1 if a schedule failed."""
    if len(sys.argv) > 1:
        return replay(int(sys.argv[1]))
    tally, first = Tally(), secrets.randbelow(1 << 32)
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
