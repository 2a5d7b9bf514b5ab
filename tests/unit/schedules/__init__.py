"""Explores in which orders threads can run: every order that departs little from the usual, and many more.

One thread runs at a time. It can be stopped before each line of the modules under test, and where it waits;
locks, queues, conditions, events and clocks of those modules are replaced by ones that know the schedule, so
nothing depends on the machine, time passes only when everybody waits, and a schedule that failed fails again.
An interrupt, as of Ctrl-C, can come at the same places.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from tests.unit.schedules.primitives import Primitives
from tests.unit.schedules.schedule import Forced, Schedule, Wrong

__all__ = ["Check", "Explored", "Scenario", "Schedule", "Wrong", "explore"]
MOST = int(os.environ.get("SCHEDULES", "300"))
"""Schedules that are tried of each scenario; those with few departures come first."""
Check = Callable[[], object]
Scenario = Callable[[Schedule], Check | None]


@dataclass
class Explored:
    """What was tried."""

    schedules: int = 0
    complete: int = -1
    """All schedules with so many departures were."""


def explore(
    scenario: Scenario, modules: Sequence[ModuleType], *, departures: int = 2, most: int = MOST
) -> Explored:
    """Run the scenario in up to `most` schedules. Raises Wrong with the schedule that shows it.

    Usually a thread goes on until it must wait; a departure lets another one go on, or interrupts the one
    that hears signals. What the scenario returns is called after each run, and raises what is wrong.
    """
    dice = random.Random(14)
    levels: list[list[Forced]] = [[()], *([] for _ in range(departures))]
    explored = Explored()
    files = frozenset(str(module.__file__) for module in modules)
    for level, todo in enumerate(levels):
        while todo:
            if explored.schedules == most:
                return explored
            index = dice.randrange(len(todo))
            todo[index], todo[-1] = todo[-1], todo[index]
            forced = todo.pop()
            explored.schedules += 1
            schedule = Schedule(files, forced)
            try:
                with patched(schedule, modules), no_collection():
                    try:
                        check = scenario(schedule)
                        schedule.run()
                        if check is not None:
                            check()
                    finally:
                        schedule.end()
            except AssertionError as error:
                said = [str(error), *schedule.told, f"the {explored.schedules}th schedule: {forced}"]
                raise Wrong("\n".join(said)) from error
            if level < departures:
                levels[level + 1].extend((*forced, choice) for choice in schedule.choices)
        explored.complete = level
    return explored


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep finalizers of earlier runs from running, and being traced, in the threads of this one."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect(0)


@contextmanager
def patched(schedule: Schedule, modules: Sequence[ModuleType]) -> Iterator[None]:
    """Give the modules primitives that know the schedule, in place of those that they have imported."""
    ours = Primitives(schedule)
    by_name: dict[str, Any] = {
        "threading": ours.threading,
        "queue": ours.queue,
        "time": ours.time,
        "random": random.Random(14),  # what is random is the same in each run
        "SimpleQueue": ours.queue.SimpleQueue,
    }
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for name, replaced in by_name.items():
                if hasattr(module, name):
                    patch.setattr(module, name, _Apart(schedule, replaced, getattr(module, name)))
        yield


class _Apart:
    """What the threads of a schedule are given, and others keep: an earlier test may have left some."""

    def __init__(self, schedule: Schedule, ours: Any, theirs: Any) -> None:
        self._schedule, self._ours, self._theirs = schedule, ours, theirs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ours if self._schedule.is_mine() else self._theirs, name)

    def __call__(self, *arguments: object) -> Any:
        return (self._ours if self._schedule.is_mine() else self._theirs)(*arguments)
