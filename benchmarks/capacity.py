"""The model in docs/scale.md: what an operation and a host cost, fitted from results.md.

It is fitted from the runs with 100 and with 1,000 hosts (20 ms an answer, AOF always, slices), and held
against those with 5,000 and 10,000, which it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROW = "Lockstep, AOF always"
FITTED, PREDICTED = (100, 1000), (5000, 10_000)
COSTS = {
    "Redis commands a host": "Redis commands, those inside scripts included",
    "AOF bytes a host": "bytes of the append-only file",
    "CPU ms a host": "CPU of producer, workers and Redis, in ms",
    "of it Redis": "CPU of Redis alone, in ms",
    "s": "time on two cores that do all of it, in ms",
}
"""Columns of results.md, and what they are called on the page."""
BEGIN, END = "<!-- written by make bench -->", "<!-- until here -->"


def measured(results: str, hosts: int, column: str) -> float | None:
    """Return what one host cost in an operation of so many; None where that was not measured."""
    section = results.partition(f"\n## create, {hosts} hosts, 20 ms\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    found = next((row for row in rows if row[0] == ROW), None)
    if found is None or column not in rows[0]:
        return None
    value = float(found[rows[0].index(column)])
    return 1000 * value / hosts if column == "s" else value


def fit(results: str, column: str) -> tuple[float, float] | None:
    """Return what an operation and what each of its hosts costs."""
    (few, many), (small, large) = FITTED, (measured(results, hosts, column) for hosts in FITTED)
    if small is None or large is None:
        return None
    each = (large * many - small * few) / (many - few)
    return few * (small - each), each


def predictions(results: str, column: str) -> Iterator[tuple[int, float, float]]:
    """Yield numbers of hosts, with what a host was predicted to cost there, and what it did."""
    fitted = fit(results, column)
    for hosts in PREDICTED:
        came = measured(results, hosts, column)
        if fitted is not None and came is not None:
            yield hosts, fitted[0] / hosts + fitted[1], came


def table(results: str) -> str:
    """Return the page's table."""
    lines = [
        "| cost | an operation | a host | predicted and measured, a host: "
        + "; ".join(f"{hosts:,} hosts" for hosts in PREDICTED)
        + " |",
        "| --- | --- | --- | --- |",
    ]
    for column, name in COSTS.items():
        if (fitted := fit(results, column)) is not None:
            came = "; ".join(f"{said:.3g}, {was:.3g}" for _, said, was in predictions(results, column))
            lines.append(f"| {name} | {fitted[0]:.0f} | {fitted[1]:.3g} | {came} |")
    return "\n".join(lines)


def between(page: str, text: str) -> str:
    """Return a page with this text between its two marks."""
    if not re.search(f"{BEGIN}.*{END}", page, re.DOTALL):
        raise ValueError(f"the page lacks {BEGIN!r} and {END!r}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def write(page: Path, text: str) -> None:
    """Write this text into a page."""
    page.write_text(between(page.read_text("utf-8"), text), "utf-8")
