"""Break the product in every way of the catalogue: `python -m tests.mutants`; 1 when a mutant survived."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.layers import CONTRACT, OF_PLACE, SIMULATION, UNIT
from tests.mutants.tree import Mutant, copied

SHOWN = 110


def main() -> int:
    """Try all mutants, or those whose names hold one of some words."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="those whose names hold one")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default 2)")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if any(word in mutant.name for word in given.only)]
    if not chosen:
        parser.error("no mutant is named so: see tests/mutants/catalogue.py")
    # One copy for all, so that nobody who goes on working here changes what is compared.
    with copied() as tree:
        if not content(tree):
            return 2
        with ThreadPoolExecutor(given.jobs) as pool:
            caught = sum(pool.map(partial(report, tree), chosen))
    say(f"{caught}/{len(chosen)} mutants caught")
    return 0 if caught == len(chosen) else 1


def content(tree: Path) -> bool:
    """Tell whether the layers find nothing in the tree as it is; otherwise what they catch means nothing."""
    for layer in (UNIT, CONTRACT, SIMULATION):
        found = layer.catches(tree)
        if found:
            say(f"the {layer.name} layer fails without any mutant: {found}")
            return False
    return True


def report(tree: Path, mutant: Mutant) -> bool:
    """Try one mutant in each of its places and say who caught it; False if it survived in one."""
    lines = [f"{mutant.name}"]
    survived = False
    for place, changes in mutant.cases.items():
        began = time.monotonic()
        with copied(changes, tree) as root:
            finding = first_finding(place, root)
        took = time.monotonic() - began
        survived = survived or finding is None
        lines.append(f"  {place:<7} {took:5.0f} s  {finding or 'SURVIVED'}"[:SHOWN])
    say("\n".join(lines))
    return not survived


def first_finding(place: str, root: Path) -> str | None:
    """Ask the layers of a place in turn; return who caught it, and by what."""
    for layer in OF_PLACE[place]:
        found = layer.catches(root)
        if found:
            return f"{layer.name}: {found}"
    return None


def say(text: str) -> None:
    """Print at once, for a run takes minutes."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
