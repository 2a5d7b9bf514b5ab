"""What follows for `settle_seconds` from how late writes landed."""

from __future__ import annotations

import pytest

from lockstep.producer.doctor import Level
from lockstep.producer.doctor.scratch import LateWrite, on_late_writes, recommended
from lockstep.worker.settings import Settings

SETTINGS = Settings(read_timeout=5, settle_seconds=20)


def landed(*seconds: float) -> list[LateWrite]:
    return [LateWrite(0.0, each) for each in seconds]


@pytest.mark.parametrize(
    ("writes", "wanted"),
    [
        (landed(0.01, 0.2), 5),
        (landed(1.6), 5),
        (landed(1.7), 6),
        (landed(0.1, 20.1), 61),
        ([LateWrite(0, None)], 5),
    ],
)
def test_three_times_the_latest_and_never_less_than_the_read_timeout(
    writes: list[LateWrite], wanted: int
) -> None:
    assert recommended(writes, SETTINGS) == wanted


@pytest.mark.parametrize(
    ("latest", "level"),
    [
        (6.6, Level.OK),
        (6.7, Level.WARNING),
        (19.9, Level.WARNING),
        (20.0, Level.FAILURE),
        (60.0, Level.FAILURE),
    ],
)
def test_the_setting_is_judged_by_the_latest_write(latest: float, level: Level) -> None:
    seen, setting = on_late_writes(landed(0.1, latest), 30, SETTINGS)
    assert (seen.level, seen.subject) == (Level.OK, "late writes")
    assert seen.text == f"2 of 2 took effect, the last {latest:.1f} s after its client had left"
    assert (setting.subject, setting.level) == ("settle_seconds", level)
    assert bool(setting.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(("watch", "level"), [(20, Level.OK), (19.9, Level.WARNING)])
def test_writes_that_never_landed_tell_something_if_they_were_looked_for_long_enough(
    watch: float, level: Level
) -> None:
    missing, _ = on_late_writes([LateWrite(0.0, None)], watch, SETTINGS)
    assert missing.level is level
    assert missing.text.startswith(f"1 of 1 had no effect within {watch:g} s")


def test_writes_that_could_not_be_sent_tell_nothing() -> None:
    (found,) = on_late_writes([LateWrite(0.0, None, "refused")], 30, SETTINGS)
    assert (found.level, found.text) == (Level.FAILURE, "none could be sent: refused")
    assert found.remedy
