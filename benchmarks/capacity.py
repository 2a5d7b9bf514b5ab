"""The model in docs/scale.md: what a slice, a host and an attempt cost, fitted from results.md.

An operation of N hosts in S slices, each host of which is tried A times, costs aS + bN + (A - 1)(cS + dN),
and eS + fN once if A > 1, for the settling of what became of the writes before. What hosts cost is fitted
from the runs with 100 and with 5,000 (20 ms an answer, AOF always), what attempts cost from those of 100 and
1,000 hosts with 1, 2 and 3. A record does not know of slices: it is fitted from operations of 5 and of 1,000
hosts that were kept. All of it is held against runs that it does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lockstep.worker.celery.messages import hosts_per_task
from lockstep.worker.settings import Settings

ROW = "Lockstep, AOF always"
COMMANDS, BYTES, RECORD = "Redis commands a host", "AOF bytes a host", "record bytes a host"
COUNTED = COMMANDS, BYTES, RECORD
"""What other work on the machine does not change, so that attempts can be counted at any time."""
COSTS = {
    COMMANDS: "Redis commands, those inside scripts included",
    BYTES: "bytes of the append-only file",
    RECORD: "bytes of Redis' memory for its record (an operation, not a slice)",
    "CPU ms a host": "CPU of producer, workers and Redis, in ms",
    "of it workers": "CPU of workers alone, in ms",
    "of it Redis": "CPU of Redis alone, in ms",
    "s": "time on two cores that do all of it, in ms",
}
"""Columns of results.md, and what they are called on the page."""
FITTED, FITTED_RECORD, FITTED_ATTEMPTS = (100, 5000), (5, 1000), (100, 1000)
COUNTED_APART = (500, 2), (500, 3)
ATTEMPTED = (*((hosts, tries) for hosts in FITTED_ATTEMPTS for tries in (1, 2, 3)), *COUNTED_APART)
"""(hosts, attempts) that are counted beside the race; the last two are predicted."""
BEGIN, END = "<!-- written by make bench -->", "<!-- until here -->"
Cost = tuple[float, float]
"""What a slice costs, or an operation where it is its record, and what a host costs."""


def parts(hosts: int, column: str) -> int:
    """Return of how many slices, or records, so many hosts are."""
    return 1 if column == RECORD else math.ceil(hosts / hosts_per_task(Settings(), hosts))


def measured(results: str, hosts: int, column: str, attempts: int = 1) -> float | None:
    """Return what one host cost in an operation of so many; None where that was not measured."""
    if attempts > 1:
        return _counted(results, hosts, column, attempts)
    if column == RECORD:
        said = re.search(
            rf"Redis after (\d+) operations of {hosts} hosts: (?:.*, )?op: \d+ keys, (\d+) KiB", results
        )
        return 1024 * int(said[2]) / int(said[1]) / hosts if said else None
    section = results.partition(f"\n## create, {hosts} hosts, 20 ms\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    found = next((row for row in rows if row[0] == ROW), None)
    if found is None or column not in rows[0]:
        return None
    value = float(found[rows[0].index(column)])
    return 1000 * value / hosts if column == "s" else value


def _counted(results: str, hosts: int, column: str, attempts: int) -> float | None:
    said = re.search(rf"\n- {hosts} hosts, {attempts} attempts each: (?:.*, )?([\d.]+) {column}", results)
    return float(said[1]) if said else None


def fit(results: str, column: str) -> Cost | None:
    """Return what an operation costs whose hosts are tried once."""
    points = FITTED_RECORD if column == RECORD else FITTED
    came = {hosts: cost for hosts in points if (cost := measured(results, hosts, column)) is not None}
    return _solved(column, came) if len(came) == len(points) else None


def fit_attempts(results: str, column: str) -> tuple[Cost, Cost] | None:
    """Return what it costs more for each further attempt of all of its hosts, and once to settle them."""
    again, settled = {}, {}
    for hosts in FITTED_ATTEMPTS:
        one, two, three = (_counted(results, hosts, column, tries) for tries in (1, 2, 3))
        if one is None or two is None or three is None:
            return None
        again[hosts] = three - two
        settled[hosts] = two - one - again[hosts]
    return _solved(column, again), _solved(column, settled)


def _solved(column: str, a_host: Mapping[int, float]) -> Cost:
    """Return the cost that gives a host what it cost in operations of two sizes."""
    (few, small), (many, large) = a_host.items()
    some, more = parts(few, column) / few, parts(many, column) / many
    each = (small - large) / (some - more)
    return each, large - each * more


def predictions(results: str, column: str) -> Iterator[tuple[int, int, float, float]]:
    """Yield hosts and attempts, with what a host was predicted to cost there, and what it did."""
    costs = fit(results, column), *(fit_attempts(results, column) or ((0.0, 0.0), (0.0, 0.0)))
    sizes = (60,) if column == RECORD else (1000, 10_000)
    for hosts, attempts in (*((size, 1) for size in sizes), *COUNTED_APART):
        came, shared = measured(results, hosts, column, attempts), parts(hosts, column) / hosts
        if came is not None:
            times = 1, attempts - 1, int(attempts > 1)
            told = (n * (cost[0] * shared + cost[1]) for n, cost in zip(times, costs, strict=True) if cost)
            yield hosts, attempts, sum(told), came


def table(results: str) -> str:
    """Return the page's table, and what it predicts."""
    lines = [
        "| cost | a slice | a host | an attempt more: a slice | a host | settled: a slice | a host |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    held = [
        "| predicted, and measured | hosts | attempts | predicted, a host | measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    for column, name in COSTS.items():
        if (once := fit(results, column)) is not None:
            further = fit_attempts(results, column)
            told = [_number(each) for cost in (once, *(further or ())) for each in cost]
            lines.append(f"| {name} | {' | '.join(told + [''] * (6 - len(told)))} |")
            for hosts, attempts, said, was in predictions(results, column):
                held.append(f"| {name} | {hosts:,} | {attempts} | {_number(said)} | {_number(was)} |")
    return "\n".join((*lines, "", *held))


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def between(page: str, text: str) -> str:
    """Return a page with this text between its two marks."""
    if not re.search(f"{BEGIN}.*{END}", page, re.DOTALL):
        raise ValueError(f"the page lacks {BEGIN!r} and {END!r}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def write(page: Path, text: str) -> None:
    """Write this text into a page."""
    page.write_text(between(page.read_text("utf-8"), text), "utf-8")
