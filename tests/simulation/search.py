"""Many schedules from many seeds: counted, and the first that fails shrunk by Hypothesis to its core."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes

from tests.simulation.choices import Choices
from tests.simulation.faults import Row
from tests.simulation.schedule import Finding, run_schedule

HIGHEST = 1_023
"""Above every count that is chosen from: a replay takes the remainder."""


@dataclass(slots=True)
class Tally:
    """What many schedules came to."""

    distinct: set[int] = field(default_factory=set)
    rows: Counter[Row] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, Finding]] = field(default_factory=list)
    states: set[int] = field(default_factory=set)

    def add(self, seed: int, finding: Finding) -> None:
        """Count one schedule."""
        self.distinct.add(hash(tuple(finding.trace)))
        self.rows.update(finding.rows)
        self.notes.update(finding.notes)
        self.states |= finding.states
        if finding.wrong:
            self.failed.append((seed, finding))

    def table(self) -> str:
        """Show how often each row of the fault table came to pass, and what is counted apart."""
        lines = [f"{len(self.distinct):>8}  distinct schedules", ""]
        if self.states:
            lines[1:1] = [f"{len(self.states):>8}  distinct states of hosts, records and processes"]
        lines += [f"{self.rows[row]:>8}  {row.value}" for row in Row]
        lines += ["", *(f"{count:>8}  {what}" for what, count in sorted(self.notes.items()))]
        return "\n".join(lines)


def search(
    seeds: Sequence[int], more: Callable[[Tally], bool], processes: int = 0, counting: bool = False
) -> Tally:
    """Run schedules of these seeds for as long as `more` says so, here or in processes that share them."""
    tally = Tally()
    with closing(_findings(seeds, processes, counting)) as findings:
        for seed, finding in zip(seeds, findings, strict=False):
            tally.add(seed, finding)
            if not more(tally):
                break
    return tally


def _findings(seeds: Sequence[int], processes: int, counting: bool) -> Generator[Finding, None, None]:
    run = partial(_finding, counting=counting)
    if not processes:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(run, seeds, chunksize=100)


def _finding(seed: int, counting: bool) -> Finding:
    return run_schedule(Choices(seed), counting=counting)


def shrink(trace: Sequence[int], wrong: str | None = None) -> list[int]:
    """Return the simplest trace that Hypothesis finds to fail still; with `wrong`, in the same way."""

    def fails(candidate: list[int]) -> bool:
        finding = run_schedule(Choices(replay=candidate))
        return finding.wrong is not None and (wrong is None or finding.wrong == wrong)

    database = InMemoryExampleDatabase()
    drawn: list[int | bool] = []
    for choice in trace:
        drawn += [True, choice]
    # One choice too many: what is replayed exactly counts as shrunk already.
    database.save(b"failing", choices_to_bytes([*drawn, False, 0]))
    return find(
        st.lists(st.integers(0, HIGHEST), max_size=2 * len(trace)),
        fails,
        settings=settings(
            database=database,
            phases=[Phase.reuse, Phase.shrink],
            max_examples=5_000,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
        database_key=b"failing",
    )


def explain(trace: Sequence[int]) -> str:
    """Run a trace again and tell what happens, line by line."""
    finding = run_schedule(Choices(replay=trace), tracing=True)
    return "\n".join([*finding.lines, f"choices: {list(trace)}"])
