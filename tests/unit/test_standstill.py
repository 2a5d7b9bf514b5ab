"""When a worker says of itself that it stands still: its loop, its work, or one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockstep.worker.monitoring import heartbeat
from lockstep.worker.monitoring import heartbeat as stalls
from lockstep.worker.monitoring.heartbeat import Heartbeat
from lockstep.worker.monitoring.probe import EVERY, HealthFiles
from tests.unit.test_probes import probe, says


@pytest.fixture
def signs(tmp_path: Path) -> HealthFiles:
    return HealthFiles(str(tmp_path / "signs"))


class Lived:
    """Time as this process lives it: it looks every 5 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        stalls.work.start_anew()

    def beats(self, heart: Heartbeat, seconds: float) -> bool:
        """Pass so much time, and tell what the last beat says."""
        beaten = True
        for _ in range(round(seconds / EVERY)):
            self.now += EVERY
            beaten = heart.beat()
        return beaten


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lived]:
    yield Lived(monkeypatch)
    stalls.work.start_anew()


def hearing(signs: HealthFiles, quiet: float = 90.0) -> tuple[Heartbeat, list[str]]:
    """Return a heart, and why it gave up."""
    told: list[str] = []

    def give_up(trouble: str, fail: Callable[[str], None]) -> None:
        told.append(trouble)
        fail(trouble)

    return Heartbeat(signs, quiet, give_up), told


def test_a_loop_that_stands_still_fails_the_worker_and_a_lost_connection_does_not(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    heart.looping()
    assert lived.beats(heart, heartbeat.STUCK)
    assert not lived.beats(heart, EVERY)
    assert told == ["the loop that takes messages has not come round for 65 s"]
    assert probe("live", signs.directory)[1] == f"not live: {told[0]}\n"
    heart.not_looping()
    assert lived.beats(heart, EVERY)
    assert says("live", signs)


def test_messages_that_are_held_while_nothing_is_at_work_fail_the_worker(
    signs: HealthFiles, lived: Lived
) -> None:
    """As when Celery lost tasks: the loop went round, and no message was taken any more."""
    heart, told = hearing(signs)

    def turns(seconds: float, full: bool) -> bool:
        beaten = True
        for _ in range(round(seconds / EVERY)):
            heart.looping(full)
            beaten = lived.beats(heart, EVERY)
        return beaten

    with stalls.work.going_on("a step on node3"):
        assert turns(90, full=True)
    assert turns(90, full=True)
    assert turns(EVERY, full=False)
    assert turns(90, full=True)
    assert not turns(EVERY, full=True)
    assert told == ["it holds as many messages as it may, and has worked at none of them for 95 s"]
    assert not says("live", signs)
    heart.not_looping()
    assert lived.beats(heart, EVERY)


def test_work_of_which_nothing_gets_further_fails_the_worker(signs: HealthFiles, lived: Lived) -> None:
    heart, told = hearing(signs)
    with stalls.work.going_on("a step on node3"), stalls.work.going_on("a step on node4"):
        assert lived.beats(heart, 90)
        stalls.work.moves()
        assert lived.beats(heart, 90)
        assert not lived.beats(heart, EVERY)
    said = "a step on node3, the first of 2 at work, has got no further for 95 s"
    assert told == [said]
    assert probe("live", signs.directory)[1] == f"not live: {said}\n"
    assert not says("ready", signs)
    assert lived.beats(heart, EVERY), "nothing goes on any more"


def test_a_step_that_takes_too_long_fails_the_worker_while_others_go_on(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    with stalls.work.going_on("a step on node3"):
        for _ in range(36):
            with stalls.work.going_on("a step on node4"):
                assert lived.beats(heart, EVERY)
        assert not lived.beats(heart, EVERY)
    assert told == ["a step on node3 has gone on for 185 s"]


def test_a_process_that_was_frozen_or_has_no_work_has_not_stood_still(
    signs: HealthFiles, lived: Lived
) -> None:
    heart, told = hearing(signs)
    with stalls.work.going_on("a step on node3"):
        lived.now += 3600
        assert lived.beats(heart, EVERY)
    assert lived.beats(heart, 3600)
    heart.looping()
    lived.now += 3600
    assert lived.beats(heart, EVERY)
    assert told == []
