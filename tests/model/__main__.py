"""`python -m tests.model [--quick]`: runs every configuration; fails when a promise breaks, or a mutant
breaks none."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.model import content_cases, limit, publication
from tests.model.configurations import LARGE, MUTANTS, NAIVE, SOUND
from tests.model.report import report, run
from tests.model.small import search


def main() -> int:
    """Run all; 0 when everything is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small configurations only")
    parser.add_argument(
        "--jobs", type=int, default=2, help="searches at a time, each under 600 MB (default 2)"
    )
    options = parser.parse_args()
    sound = [*SOUND, *content_cases.SOUND]
    if not options.quick:
        sound = [*LARGE, *sound]
    good, total = True, 0
    with ProcessPoolExecutor(options.jobs, max_tasks_per_child=1) as pool:
        for title, configurations in (
            ("The plain chord: every one must have a counterexample", NAIVE),
            ("One mechanism, or one assumption, removed: every one must have a counterexample", MUTANTS),
            ("Content, by naive rules: every one must have a counterexample", content_cases.NAIVE),
            ("Lockstep: none may have a counterexample", sound),
        ):
            print(f"\n{title}\n")
            for configuration, result in pool.map(run, configurations):
                good = report(configuration, result) and good
                total += result.states if configuration.breaks is None else 0
    for title, model in (("The limit that all workers share", limit), ("Who publishes what", publication)):
        print(f"\n{title}: none may break a promise, without one rule each must\n")
        for which in [*model.SOUND, *([] if options.quick else model.LARGE)]:
            found = search(which)
            good = good and not found.wrong
            print(f"{found.wrong or 'ok':6} {found.states:>10,} states  {which}", *found.way, sep="\n    ")
        for name, (naive, breaks) in model.NAIVE.items():
            found = search(naive)
            good = good and found.wrong.startswith(breaks)
            print(f"{found.wrong}, after {len(found.way)} steps: {name}")
    verdict = "all as they should be" if good else "FAILED"
    print(f"\n{len(sound)} configurations of Lockstep, {total:,} states; {verdict}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
