"""Run a tier: `python -m tests.chaos`, `python -m tests.chaos --tier nightly`; 1 when a rule was broken."""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.chaos.report import line, summary, vacuous
from tests.chaos.run import Outcome, Trouble, run
from tests.chaos.tiers import TIERS, Plan
from tests.release_before import known

SHOWN = 20
AT_ONCE = 2
"""Runs wait most of the time; of three at once, on two processors, each has too many deadlines pass."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--tier", choices=TIERS, default="quick")
    parser.add_argument("--seed", type=int, help="in place of the runs' own")
    parser.add_argument("--operations", type=int, help="in place of each run's own number")
    parser.add_argument("--only", help="the run of this name alone")
    parser.add_argument("--keep", action="store_true", help="keep what a good run left, too")
    given = parser.parse_args()
    plans = [plan for plan in TIERS[given.tier] if given.only in (None, plan.name)]
    if given.seed is not None:
        plans = [replace(plan, seed=given.seed + place) for place, plan in enumerate(plans)]
    if given.operations is not None:
        plans = [replace(plan, operations=given.operations) for plan in plans]
    return 0 if run_tier(plans, lambda text: print(text, flush=True), given.keep) else 1


def run_tier(plans: list[Plan], say: Callable[[str], None], keep: bool = False) -> bool:
    """Run all plans; return whether every rule was kept and enough happened. Keeps what failed."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep-chaos-"))
    outcomes: list[Outcome] = []
    wrong: list[str] = []
    if not known():
        plans = [plan for plan in plans if not plan.before]
        say("the history of this tree is not here: no worker of the release before takes part")
    for plan in plans:
        say(f"{plan.name}: {plan.operations} operations on {plan.pool}, seed {plan.seed}")
    with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("spawn")) as processes:
        tell = partial(print, flush=True)
        runs = [processes.submit(run, plan, folder / plan.name, tell) for plan in plans]
        try:
            for plan, each in zip(plans, runs, strict=True):
                try:
                    outcome = each.result()
                except Trouble as trouble:
                    wrong.append(f"{plan.name} (seed {plan.seed}) broke: {trouble}")
                    continue
                say(summary(outcome))
                wrong += [f"{plan.name} (seed {plan.seed}): {found}" for found in outcome.verdict.violations]
                outcomes.append(outcome)
        except KeyboardInterrupt:
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    wrong += list(vacuous(outcomes)) if len(outcomes) == len(plans) else []
    for violation in wrong[:SHOWN]:
        say(f"VIOLATION {violation}")
    if wrong or keep:
        more = f" ({len(wrong) - SHOWN} more there)" if len(wrong) > SHOWN else ""
        say(f"seeds, schedules, histories and logs are kept in {folder}{more}")
    else:
        shutil.rmtree(folder)
    if outcomes:
        say(line(outcomes))
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
