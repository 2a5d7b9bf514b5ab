"""results.md: the figures, then the targets; and their table, which a page quotes and a run prints."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import pycurl

from benchmarks import capacity
from benchmarks.figures import (
    Figures,
    bytes_per_host,
    commands_per_host,
    cpu_per_host,
    middle,
    redis_cpu_per_host,
    workers_cpu_per_host,
    workers_mb,
)
from benchmarks.peers import NAMES, peer
from benchmarks.samples import Case
from benchmarks.targets import Verdict, judge

PACKAGES = ("celery", "kombu", "redis", "aiohttp", "uvloop", "pydocket", "taskiq", "taskiq-redis", "huey")
MORE = ("dramatiq", "celery-saga", "requests", "pycurl")
HEAD = (
    "candidate",
    "HTTP client",
    "runs",
    "s",
    "/ stock",
    "/ floor",
    "CPU ms a host",
    "of it workers",
    "of it Redis",
    "Redis commands a host",
    "AOF bytes a host",
    "workers MB",
    "producer MB",
    "undo s",
)


def report(figures: Figures, redis: str, took: float, *, quick: bool) -> str:
    """Return the page."""
    loads = [sample.load for sample in figures.all]
    load = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not read"
    packages = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *MORE))
    lines = [
        "# Measured side by side",
        "",
        "Written by `make bench`; how to read it is in [docs/performance.md](../docs/performance.md).",
        *(["", "**A quick run: few runs, small sizes. Its figures mean little.**"] if quick else []),
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {redis},",
        f"{packages} with libcurl {pycurl.version_info()[1]}.",
        f"Load average of a minute before a run: {load}. All took {took / 60:.1f} minutes.",
        "",
        "Times are medians; CPU is that of producer, workers and Redis; commands include those of scripts.",
    ]
    for case in sorted({case for _, case in figures.samples}, key=_order):
        lines += ["", f"## {case}", "", *_table(HEAD, _rows(figures, case))]
        lines += _wrong(figures, case)
    lines += ["", "## Beside the race", "", *_beside(figures)]
    lines += ["", "## Targets", "", *_targets(judge(figures))]
    return "\n".join(lines) + "\n"


def quote(docs: Path, figures: Figures, results: str) -> None:
    """Write the table of targets, and the model that follows from the results, into their pages."""
    capacity.write(docs / "performance.md", "\n".join(_targets(judge(figures))))
    capacity.write(docs / "scale.md", capacity.table(results))


def table_of_targets(verdicts: Iterable[Verdict]) -> str:
    """Return the table as a terminal shows it."""
    rows = [(one.target.name, one.target.work, *_judged(one)) for one in verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _targets(verdicts: Iterable[Verdict]) -> list[str]:
    head = ("work", "target", "measured", "")
    return _table(head, ((one.target.work, *_judged(one)) for one in verdicts))


def _judged(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.target.wanted, _number(verdict.measured), verdict.word


def _order(case: Case) -> tuple[str, str, str, int, int]:
    away = -1 if case.away is None else case.away
    return case.work, case.http, case.latency.name, away, case.hosts


def _rows(figures: Figures, case: Case) -> Iterable[Sequence[str]]:
    for name in NAMES:
        runs = figures.runs(name, case)
        if not runs:
            continue
        own = peer(name).http if case.http == "own" else "requests.Session"
        yield (
            peer(name).title,
            own,
            str(len(runs)),
            _number(figures.median(name, case)),
            _number(figures.ratio(name, "stock", case)),
            _number(figures.ratio(name, "floor", case)),
            _number(figures.median(name, case, cpu_per_host)),
            _number(figures.median(name, case, workers_cpu_per_host)),
            _number(figures.median(name, case, redis_cpu_per_host)),
            _number(figures.median(name, case, commands_per_host)),
            _number(figures.median(name, case, bytes_per_host)),
            _number(figures.median(name, case, workers_mb)),
            _number(figures.median(name, case, lambda sample: sample.producer_mb)),
            _number(middle(sample.undoing for sample in runs if sample.undoing is not None)),
        )


def _wrong(figures: Figures, case: Case) -> list[str]:
    found = []
    for name in NAMES:
        said = figures.wrong(name, case)
        if said:
            found += ["", f"{peer(name).title}: {len(said)} runs came out wrong, such as: {said[0]}."]
    return found


def _beside(figures: Figures) -> list[str]:
    beside = figures.beside
    lines = [
        f"- {name}: {_number(middle(rates))} operations of 5 hosts a second, 300 in flight from 8 clients"
        for name, rates in beside.throughput.items()
    ]
    for (name, hosts), times in sorted(beside.published.items()):
        lines.append(f"- {name}: {hosts} hosts accepted and published in {_number(middle(times))} s")
    for name, grown in beside.growth.items():
        lines.append(f"- {name}: its producer grows by {grown:.3f} MB for 1000 hosts published")
    lines.append(f"- a sweep that finds none of the unfinished operations due: {_seconds(beside.sweep_idle)}")
    lines.append(f"- a sweep that finds all due, and resumes 200: {_seconds(beside.sweep_due)}")
    for name, times in beside.ready.items():
        lines.append(f"- a worker of {name}: ready after {_seconds(times)}")
    for name, times in beside.commands.items():
        lines.append(f"- `{name}`: {_number(middle(times))} ms")
    for name, (sent, called) in beside.sent.items():
        lines.append(f"- {name}: {sent:.1f} Redis commands a host sent, {called:.1f} called by scripts")
    lines += [f"- calls of the record from {found}, beside the design before" for found in beside.gathering]
    if beside.telling:
        whole, told, untold = (median(beside.telling[name]) for name in ("whole", "told", "untold"))
        lines.append(
            f"- a host's two calls, which nobody counts or traces: {whole:.3f} ms of CPU, of which the code "
            f"that could takes {1000 * (told - untold):.1f} µs, {(told - untold) / whole:.2%}"
        )
    for (hosts, attempts), cost in beside.attempts.items():
        counts = ", ".join(f"{_number(value)} {name}" for name, value in cost.items())
        lines.append(f"- {hosts} hosts, {attempts} attempts each: {counts}")
    for done, kept in beside.kept.items():
        keys = ", ".join(
            f"{kind}: {count} keys, {kept.sizes[kind] / 1024:.0f} KiB" for kind, count in kept.keys.items()
        )
        lines.append(f"- Redis after {beside.operations[done]} {done}: {keys}")
    return lines


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _seconds(times: Iterable[float]) -> str:
    return f"{_number(middle(times))} s"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
