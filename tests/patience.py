"""`python -m tests.patience`: how many operations commit when nodes often fail, as rows of a Markdown table.

Ends with 1 where not all of a row do, or one is decided after its deadline, and names the row.
Real processes: the embedded stack, with nodes that answer each call with 500 at random, as often before as
after it took effect. It uses nothing but what every version of Lockstep has, so that an older one can be
measured by running this file in its place: `PYTHONPATH=/older/clone python tests/patience.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import TYPE_CHECKING

from lockstep import ClusterClient, load_settings
from lockstep.mock_api.admin import ClusterAdmin, Fault
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack import Stack
from tests.waits import eventually

if TYPE_CHECKING:
    from lockstep.worker.operation import model

LOOK_EVERY = 0.2
ENDS_WITHIN = 120
"""Seconds beyond the deadline in which what was begun must have been decided."""
HEAD = "| calls that fail | committed | decided after, median | at most |\n| ---: | ---: | ---: | ---: |"


def main() -> int:
    """Print a row for each share of failing calls."""
    parser = argparse.ArgumentParser(prog="python -m tests.patience", description=__doc__)
    parser.add_argument("--hosts", type=int, default=12, help="nodes of the cluster (default %(default)s)")
    parser.add_argument("--operations", type=int, default=12, help="of each row (default %(default)s)")
    parser.add_argument(
        "--deadline", type=float, default=300, help="of each, in seconds (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default %(default)s)")
    parser.add_argument(
        "--percent",
        type=int,
        nargs="+",
        default=[0, 30, 50, 70],
        help="of calls that fail (default 0 30 50 70)",
    )
    given = parser.parse_args()
    print(HEAD, flush=True)
    short = []
    for percent in given.percent:
        found = measure(percent, given)
        took = [((each.decided_at or each.created_at) - each.created_at) / 1000 for each in found]
        committed = sum(each.decision is not None and each.decision.value == "commit" for each in found)
        times = f"{statistics.median(took):.2f} s | {max(took):.2f} s"
        print(f"| {percent} % | {committed} of {len(found)} | {times} |", flush=True)
        if committed < len(found):
            short.append(f"at {percent} % {committed} of {len(found)} committed")
        late = sum((each.decided_at or each.deadline_at) > each.deadline_at for each in found)
        if late:
            short.append(f"at {percent} % {late} of {len(found)} decided after the deadline")
    if short:
        print(f"patience: falls short: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


def measure(percent: int, given: argparse.Namespace) -> list[model.Status]:
    """Return what became of each operation while so many percent of all calls failed."""
    names = [f"g{n}" for n in range(given.operations)]
    with (
        Stack(nodes=given.hosts, seed=given.seed) as stack,
        ClusterClient(load_settings(**stack.settings)) as client,
    ):
        admin = ClusterAdmin(stack.admin_url)
        client.create_group("warm-up").wait(timeout=60)
        admin.set_faults(*_half_and_half(percent / 100))
        if percent:
            begun = [client.create_group(name, deadline=given.deadline) for name in names]
            _await(begun, given.deadline + ENDS_WITHIN)
        else:  # one after another: how long one takes is the question
            begun = []
            for name in names:
                begun.append(client.create_group(name, deadline=given.deadline))
                _await(begun[-1:], given.deadline + ENDS_WITHIN)
        found = [operation.status() for operation in begun]
        admin.reset()
    return found


def _half_and_half(share: float) -> list[Fault]:
    kinds = ("error_before", "error_after") if share else ()
    return [{"kind": kind, "probability": share / 2} for kind in kinds]


def _await(operations: list[Operation], longest: float) -> None:
    eventually(
        lambda: all(operation.status().decided_at for operation in operations),
        "all are decided",
        longest,
        latest=LOOK_EVERY,
    )


if __name__ == "__main__":
    sys.exit(main())
