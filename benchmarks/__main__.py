"""`python -m benchmarks`: run everything, write results.md and results.svg. Linux alone: it reads /proc."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.bench import Bench, bench
from benchmarks.extras import commands, publishing, retention, starting, sweeping, throughput
from benchmarks.peers import NAMES
from benchmarks.plan import QUICK_ROUNDS, ROUNDS, Visit, in_turn, quick_visits, visits
from benchmarks.plot import plot
from benchmarks.report import report
from benchmarks.session import WrongOutcome
from benchmarks.targets import judge
from lockstep.producer.process import Stopped, stoppable
from lockstep.producer.stack import StackError

HERE = Path(__file__).parent
EXTRAS = {
    "throughput": throughput.measure,
    "publishing": publishing.measure,
    "sweeping": sweeping.measure,
    "retention": retention.measure,
    "starting": starting.measure,
    "commands": commands.measure,
}


def main() -> int:
    """Run it: 0 when all was measured, whatever the verdicts; 1 when something failed or came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and sizes; the figures mean little")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of every case; 5 by default")
    parser.add_argument("--only", action="append", choices=[*NAMES, *EXTRAS], metavar="NAME")
    parser.add_argument("--out", type=Path, default=None, help="where the results go")
    given = parser.parse_args()
    # Only a whole run may replace the results that are kept.
    out = given.out or (HERE if not given.quick and not given.only else Path.cwd() / "build")
    for name in [one for one in os.environ if one.startswith("LOCKSTEP_")]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = str(HERE.parent)  # its processes start in directories of their own
    try:
        with stoppable(lambda: None):
            run(set(given.only or (*NAMES, *EXTRAS)), out, given.rounds, quick=given.quick)
    except Stopped as stopped:
        return stopped.exit_status
    except (StackError, WrongOutcome) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(wanted: set[str], out: Path, rounds: int, *, quick: bool) -> None:
    """Measure what is wanted and write the results into a directory."""
    begun = time.monotonic()
    planned = [visit for visit in (quick_visits() if quick else visits()) if visit.peer in wanted]
    hosts = max([visit.hosts for visit in planned] + ([5000] if "publishing" in wanted else [1000]))
    with bench(hosts, quick=quick) as made:
        redis = "Redis"
        for number in range(QUICK_ROUNDS if quick else rounds):
            for visit in in_turn(planned, number) if planned else ():
                redis = attend(made, visit, number) or redis
        for name, measure in EXTRAS.items():
            if name in wanted:
                made.say(name)
                measure(made)
        took = time.monotonic() - begun
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.md").write_text(report(made.figures, redis, took, quick=quick))
        (out / "results.svg").write_text(plot(made.figures))
        for verdict in judge(made.figures):
            made.say(f"{verdict.word:>12}  {verdict.target.work}: {verdict.measured}")
        made.say(f"written to {out / 'results.md'} after {took / 60:.1f} minutes")


def attend(made: Bench, visit: Visit, number: int) -> str | None:
    """Run every case of a visit once; return which Redis it had."""
    with made.session(visit.peer, visit.hosts, http=visit.http) as session:
        session.warm_up()
        for case in visit.cases:
            sample = session.run(case)
            made.figures.add(sample)
            note = f"  WRONG: {sample.wrong}" if sample.wrong else ""
            made.say(f"{number + 1}  {visit.peer:<18} {case!s:<48} {sample.seconds:8.3f} s{note}")
        return session.redis.version if session.redis else None


if __name__ == "__main__":
    sys.exit(main())
