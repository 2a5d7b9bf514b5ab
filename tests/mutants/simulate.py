"""Run simulated schedules until one fails: `python -m tests.mutants.simulate MOST`; 1 when one did."""

from __future__ import annotations

import sys

from tests.simulation.choices import Choices
from tests.simulation.schedule import run_schedule


def main(most: int) -> int:
    """Run seeds 1 to `most`."""
    for seed in range(1, most + 1):
        wrong = run_schedule(Choices(seed)).wrong
        if wrong:
            print(f"seed {seed}: {wrong}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
