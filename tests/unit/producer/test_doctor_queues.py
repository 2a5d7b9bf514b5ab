"""What doctor says of a queue that is long, or will be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.doctor import Level
from lockstep.producer.doctor.checks import on_work
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import IDLE, WORK


@pytest.mark.parametrize(
    ("waiting", "growth", "level", "more"),
    [
        (690, 0.0, Level.OK, None),
        (710, 0.0, Level.WARNING, ""),
        (690, 0.51, Level.OK, None),
        (690, 0.52, Level.WARNING, ", and 1 more each second: more is asked for than they do"),
        (100, 3.0, Level.WARNING, ", and 3 more each second: more is asked for than they do"),
        (710, -5.0, Level.WARNING, ""),
        (1000, 0.0, Level.WARNING, ""),
        (1001, 9.0, Level.WARNING, "; sweeps are put off, and resume nothing"),
    ],
)
def test_a_queue_is_warned_of_above_70_percent_or_where_it_will_be_full_in_ten_minutes(
    waiting: int, growth: float, level: Level, more: str | None
) -> None:
    """Full is a queue of 1,000: the sweep adds nothing to it then."""
    work = replace(WORK, lengths={**IDLE, "operations": waiting}, growth={**IDLE, "operations": growth})
    (found,) = (each for each in on_work(work, Settings()) if each.subject == "queue operations")
    sound = f"a@x; {waiting} tasks wait"
    assert found.level is level
    assert found.text == (sound if more is None else f"{waiting} tasks wait for a@x{more}")
    assert found.remedy == (None if more is None else "start more workers: docs/scale.md says how many")


@pytest.mark.parametrize("waiting", [1000, 1001])
def test_of_a_long_queue_without_workers_it_is_said_that_sweeps_are_put_off(waiting: int) -> None:
    work = replace(WORK, queues={}, lengths={**IDLE, "operations": waiting})
    (found,) = (each for each in on_work(work, Settings()) if each.subject == "queue operations")
    late = "; sweeps are put off, and resume nothing" if waiting > 1000 else ""
    assert (found.level, found.text) == (Level.FAILURE, f"no worker answers, {waiting} tasks wait{late}")
