"""What follows for `settle_seconds` from how late writes landed."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from lockstep.producer.doctor import Level, scratch
from lockstep.producer.doctor.scratch import LateWrite, on_late_writes, recommended
from lockstep.worker.operation.answer import LookAnswer, Reply, classify_look
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName
from lockstep.worker.settings import Settings
from tests.waits import PATIENCE

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


def test_where_no_write_landed_the_read_timeout_alone_speaks() -> None:
    assert recommended([], Settings(connect_timeout=1, read_timeout=1, settle_seconds=20)) == 1


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
    if level is Level.FAILURE:
        told = f"20 is too short: a write landed {latest:.1f} s after its client had left"
        assert setting.text == told


@pytest.mark.parametrize(("watch", "level"), [(20, Level.OK), (19.9, Level.WARNING)])
def test_writes_that_never_landed_tell_something_if_they_were_looked_for_long_enough(
    watch: float, level: Level
) -> None:
    missing, _ = on_late_writes([LateWrite(0.0, None)], watch, SETTINGS)
    assert missing.level is level
    assert missing.text.startswith(f"1 of 1 had no effect within {watch:g} s")


def test_writes_that_could_not_be_sent_tell_nothing() -> None:
    unsent = [LateWrite(0.0, None, why) for why in ("refused", "reset")]
    (found,) = on_late_writes(unsent, 30, SETTINGS)
    assert (found.level, found.text) == (Level.FAILURE, "none could be sent: refused")
    assert found.remedy


class Watching:
    """A scratch group that shows after so many looks, and the event that ends the looking."""

    def __init__(self, shown_after: int, stopped: bool = False) -> None:
        self.now, self.looks, self.shown_after, self.stopped = 0.0, 0, shown_after, stopped
        self.waits: list[float] = []
        self.written: dict[GroupId, bool] = {}
        self.host, self.settings = Host(HostName("node1"), "http://node1:1"), SETTINGS

    def new_group(self) -> GroupId:
        return GroupId("lockstep-probe-1")

    def get(self, group: GroupId) -> LookAnswer:
        assert self.written == {group: False}
        self.looks += 1
        there = self.looks > self.shown_after
        return classify_look(group, Reply(200, b'{"groupId": "lockstep-probe-1"}') if there else Reply(404))

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        assert 0 <= seconds <= 1
        self.waits.append(seconds)
        self.now += seconds
        assert len(self.waits) < 99
        return self.stopped

    def watched(self, watch: float, monkeypatch: pytest.MonkeyPatch, why: str = "") -> LateWrite:
        def leave(*given: object) -> float:
            assert given == (self.host, SETTINGS, b'{"groupId": "lockstep-probe-1"}', 0.1)
            if why:
                raise OSError(why)
            return self.now

        monkeypatch.setattr(scratch, "time", self)
        monkeypatch.setattr(scratch, "send_and_leave", leave)
        return scratch._one(cast(scratch.Scratch, self), 0.1, watch, cast(threading.Event, self))


def test_a_write_is_looked_for_at_growing_pauses_until_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Watching(3)
    seen.now = 10.0
    write = seen.watched(30, monkeypatch)
    assert (write.stayed, write.trouble) == (0.1, None)
    assert write.landed == pytest.approx(0.2375)
    assert seen.waits == pytest.approx([0.05, 0.075, 0.1125])


def test_a_write_that_does_not_show_is_looked_for_as_long_as_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Watching(1000)
    assert seen.watched(20.25, monkeypatch) == LateWrite(0.1, None)
    assert [seen.now, max(seen.waits)] == pytest.approx([20.25, 1.0])
    short = Watching(1000)
    assert short.watched(0.05, monkeypatch) == LateWrite(0.1, None)
    assert (short.waits, short.looks) == ([0.05], 2)


def test_nobody_looks_for_a_write_that_was_not_sent_or_once_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Watching(0).watched(30, monkeypatch, "refused") == LateWrite(0.1, None, "refused")
    stopped = Watching(1000, stopped=True)
    assert stopped.watched(30, monkeypatch) == LateWrite(0.1, None)
    assert stopped.looks == 1


def test_three_writes_are_left_at_once_three_soon_and_three_after_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scratch, "_one", lambda *given: LateWrite(given[1], given[2]))
    found = scratch.measure(cast(scratch.Scratch, Watching(0)), 7.0)
    assert found == [LateWrite(stay, 7.0) for stay in (0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 1.0, 1.0, 1.0)]


def test_once_one_fails_the_others_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    all_begun = threading.Barrier(9)

    def one(_: object, hold: float, watch: float, event: threading.Event) -> LateWrite:
        all_begun.wait(PATIENCE)
        if not hold:
            raise HostUnavailable("gone")
        stopped.append(event.wait(PATIENCE))
        return LateWrite(hold, watch)

    monkeypatch.setattr(scratch, "_one", one)
    with pytest.raises(HostUnavailable):
        scratch.measure(cast(scratch.Scratch, Watching(0)), 7.0)
    assert stopped == [True] * 6
