"""`python -m benchmarks`: run everything, print the table of targets, and write it where the pages quote it.

results.md and results.svg are written, the table of targets in docs/performance.md, and the model in
docs/scale.md. `--only` takes the name of a row of the table, of a candidate, or of what is measured beside
the race. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from benchmarks.bench import Bench, bench
from benchmarks.extras import (
    attempts,
    command,
    commands,
    earlier,
    gathering,
    publishing,
    retention,
    starting,
    sweeping,
    telling,
    throughput,
)
from benchmarks.peers import NAMES
from benchmarks.plan import QUICK_ROUNDS, ROUNDS, Visit, in_turn, only, quick_visits, visits
from benchmarks.plot import plot
from benchmarks.report import quote, report, table_of_targets
from benchmarks.samples import Case
from benchmarks.session import WrongOutcome
from benchmarks.targets import TARGETS, judge, needed
from lockstep.producer.process import Stopped, stoppable
from lockstep.producer.stack import StackError

HERE = Path(__file__).parent
EXTRAS = {
    "throughput": throughput.measure,
    "publishing": publishing.measure,
    "sweeping": sweeping.measure,
    "retention": retention.measure,
    "attempts": attempts.measure,
    "telling": telling.measure,
    "starting": starting.measure,
    "commands-sent": commands.measure,
    "command": command.measure,
    "earlier": earlier.measure,
    "gathering": gathering.measure,
}
ROWS = {target.name: target for target in TARGETS}


def main() -> int:
    """Run it: 0 when all was measured, whatever the verdicts; 1 when something failed or came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and sizes; the figures mean little")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of every case; 5 by default")
    parser.add_argument("--only", action="append", choices=[*ROWS, *EXTRAS, *NAMES], metavar="NAME")
    parser.add_argument("--out", type=Path, default=None, help="where the results go")
    given = parser.parse_args()
    # Only a whole run may replace the results that are kept.
    out = given.out or (HERE if not given.quick and not given.only else Path.cwd() / "build")
    for name in [one for one in os.environ if one.startswith("LOCKSTEP_")]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = str(HERE.parent)  # its processes start in directories of their own
    try:
        with stoppable(lambda: None):
            run(given.only or (*NAMES, *EXTRAS), out, given.rounds, quick=given.quick)
    except Stopped as stopped:
        return stopped.exit_status
    except (StackError, WrongOutcome) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(wanted: Collection[str], out: Path, rounds: int, *, quick: bool) -> None:
    """Measure what is wanted and write the results into a directory."""
    begun = time.monotonic()
    rows = [ROWS[name] for name in wanted if name in ROWS]
    cases, beside = needed(rows)
    every = quick_visits() if quick else visits()
    planned = list(only(every, cases | every_case(every, wanted)))
    hosts = max([5000, *(visit.hosts for visit in planned)])
    with bench(hosts, quick=quick) as made:
        redis = "Redis"
        for number in range(QUICK_ROUNDS if quick else rounds):
            for visit in in_turn(planned, number) if planned else ():
                redis = attend(made, visit, number) or redis
        for name, measure in EXTRAS.items():
            if name in wanted or name in beside:
                made.say(name)
                measure(made)
        took = time.monotonic() - begun
        out.mkdir(parents=True, exist_ok=True)
        results = report(made.figures, redis, took, quick=quick)
        (out / "results.md").write_text(results)
        (out / "results.svg").write_text(plot(made.figures))
        if out == HERE:
            quote(HERE.parent / "docs", made.figures, results)
        verdicts = judge(made.figures)
        made.say(table_of_targets([one for one in verdicts if one.target in rows] or verdicts))
        made.say(f"written to {out / 'results.md'} after {took / 60:.1f} minutes")


def every_case(every: Iterable[Visit], peers: Collection[str]) -> set[tuple[str, Case]]:
    """Return all that these candidates do."""
    return {(visit.peer, case) for visit in every for case in visit.cases if visit.peer in peers}


def attend(made: Bench, visit: Visit, number: int) -> str | None:
    """Run every case of a visit once; return which Redis it had."""
    with made.session(visit.peer, visit.hosts, http=visit.http, away=visit.away) as session:
        session.warm_up()
        for case in visit.cases:
            sample = session.run(case)
            made.figures.add(sample)
            note = f"  WRONG: {sample.wrong}" if sample.wrong else ""
            made.say(f"{number + 1}  {visit.peer:<18} {case!s:<48} {sample.seconds:8.3f} s{note}")
        return session.redis.version if session.redis else None


if __name__ == "__main__":
    sys.exit(main())
