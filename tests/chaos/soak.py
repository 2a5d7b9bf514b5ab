"""Run chaos for hours, and add the results up: `python -m tests.chaos.soak --minutes 240`.

Each round is a run of its own, with a seed of its own and all that chaos does and checks; what processes
and Redis use must be flat in it. `tests/chaos/soaked.jsonl` keeps a line for each round, and the paragraph in
docs/reliability.md is written anew from all of them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos.report import missing, summary
from tests.chaos.run import Outcome, Trouble, run
from tests.chaos.tiers import BRIEF, SLICED, WATCHED, Plan

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("soaked.jsonl")
PAGE = ROOT / "docs" / "reliability.md"
BETWEEN = re.compile(r"(?<=<!-- soak -->\n).*?(?=<!-- end of soak -->)", re.DOTALL)
PLANS = (
    Plan("soak-threads", "threads", 2000, 0, BRIEF, passes=3),
    Plan("soak-prefork", "prefork", 1000, 0, BRIEF, passes=2),
    Plan("soak-slices", "threads", 2000, 0, BRIEF, passes=3, settings=SLICED),
    Plan("soak-failovers", "threads", 1000, 0, BRIEF, passes=3, settings=WATCHED, failovers=True),
    Plan("soak-before", "threads", 1000, 0, BRIEF, passes=3, before=True),
)


def main() -> int:
    """Run round after round until the time is over; what failed is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--operations", type=int, help="in place of each round's own number")
    parser.add_argument(
        "--plan", choices=[each.name for each in PLANS], help="this one alone, not all in turn"
    )
    given = parser.parse_args()
    plans = [each for each in PLANS if given.plan in (None, each.name)]
    until, number, wrong = time.monotonic() + 60 * given.minutes, 0, 0
    while time.monotonic() < until:
        plan = replace(plans[number % len(plans)], seed=time.time_ns() // 1_000_000_000)
        if given.operations:
            plan = replace(plan, operations=given.operations, passes=1)
        wrong += soaked(plan)
        number += 1
    print(write_down())
    return 1 if wrong else 0


def soaked(plan: Plan) -> int:
    """Run one round and keep what it came to; return how many things were wrong with it."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep-soak-"))
    try:
        outcome = run(plan, folder, lambda text: print(text, flush=True))
    except Trouble as trouble:
        print(f"{plan.name} (seed {plan.seed}) broke, and is in {folder}: {trouble}", flush=True)
        return 1
    print(summary(outcome), flush=True)
    wrong = [*outcome.verdict.violations, *missing(outcome)]
    for what in wrong:
        print(f"VIOLATION {what}; all of it is in {folder}", flush=True)
    if not wrong:
        shutil.rmtree(folder)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line(outcome)) + "\n")
    return len(wrong)


def line(outcome: Outcome) -> dict[str, object]:
    """Return what is kept of a round."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "plan": outcome.plan.name,
        "seed": outcome.plan.seed,
        "operations": outcome.operations,
        "rolled_back": outcome.rolled_back,
        "faults": outcome.faults.total(),
        "of_each": dict(sorted(outcome.faults.items())),
        "ambiguous": outcome.ambiguous,
        "late": outcome.late,
        "transitions": outcome.transitions,
        "violations": len(outcome.verdict.violations),
        "seconds": round(outcome.seconds),
        "used": outcome.used,
    }


def write_down() -> str:
    """Add all rounds up on the page; return the paragraph."""
    rounds = [json.loads(text) for text in RESULTS.read_text("utf-8").splitlines()]
    names = (
        "operations",
        "faults",
        "rolled_back",
        "ambiguous",
        "late",
        "transitions",
        "violations",
        "seconds",
    )
    total = {name: sum(each[name] for each in rounds) for name in names}
    bound = "" if total["violations"] else f" (95 % upper bound 3/{total['operations']})"
    text = (
        f"{len(rounds)} rounds until {rounds[-1]['date']}: {total['operations']:,} operations, "
        f"{total['faults']:,} faults, {total['rolled_back']:,} rolled back, {total['ambiguous']:,} ambiguous "
        f"answers, {total['late']:,} late effects,\n"
        f"{total['transitions']:,} transitions as the model allows, "
        f"**{total['violations']} violations**{bound}, {total['seconds'] / 3600:.1f} hours.\n"
    )
    page = PAGE.read_text("utf-8")
    PAGE.write_text(BETWEEN.sub(lambda _: text, page), "utf-8")
    return text


if __name__ == "__main__":
    sys.exit(main())
