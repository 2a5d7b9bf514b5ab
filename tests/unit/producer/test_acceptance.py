"""How long a request waits for the operation that has its group, to the millisecond; no clock really goes."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.client import acceptance
from lockstep.producer.client.acceptance import RequestWithdrawn, accept, reach, refuse_long_waits
from lockstep.worker.operation.errors import GroupBusy
from lockstep.worker.operation.model import GroupId, OperationId, RolloutState, Stage
from lockstep.worker.operation.transitions import Accepted, Busy
from lockstep.worker.record import events

NOW = 10_000_000
REQUEST: Any = SimpleNamespace(id="mine", group=GroupId("team-a"))


class Scene:
    """A link whose Redis says what a test has written down, and a clock that goes when told."""

    def __init__(self, said: list[Busy | Accepted], ends: int | None, lock_wait: float = 0.0) -> None:
        self.said = said
        self.clock = 100.0
        self.lasts: dict[int, float] = {}
        """Seconds that an answer takes, by its number."""
        self.asked = self.looks = 0
        self.pauses: list[float] = []
        self.heard = self.clock
        self.settings = SimpleNamespace(lock_wait=lock_wait)
        self.store = self
        baking = None if ends is None else NOW + ends
        rollout = RolloutState(1, 2, Stage.BAKING, None, cast(Any, baking), None)
        self.kept: Any = SimpleNamespace(rollout=None if ends is None else rollout, decision=None)

    def monotonic(self) -> float:
        return self.clock

    def now(self) -> int:
        self.looks += 1
        return NOW

    def operation(self, _: OperationId) -> Any:
        return self.kept

    def accept(self, _: Any) -> Busy | Accepted:
        self.clock += self.lasts.get(self.asked, 0.0)
        self.asked += 1
        return self.said.pop(0)

    def __call__(self, *_: object) -> Scene:
        return self

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None: ...

    def subscribe(self) -> None: ...

    def wait(self, pause: float, gather: float) -> None:
        assert 0 < pause == gather
        self.pauses.append(pause)
        self.clock += pause


def scene(monkeypatch: pytest.MonkeyPatch, *said: Busy | Accepted, ends: int | None, wait: float) -> Scene:
    made = Scene(list(said), ends, wait)
    monkeypatch.setattr(acceptance, "time", made)
    monkeypatch.setattr(events, "Events", made)
    return made


OURS, OTHERS = Busy(OperationId("owner")), Busy(OperationId("next"))


@pytest.mark.parametrize(("silent", "looks"), [(0.5, 0), (1.0, 0), (1.001, 1), (1.9, 1)])
def test_a_redis_that_was_heard_within_a_second_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, silent: float, looks: int
) -> None:
    made = scene(monkeypatch, ends=None, wait=0.0)
    made.heard = made.clock - silent
    reach(cast(Any, made))
    assert made.looks == looks
    assert made.heard == (made.clock if looks else made.clock - silent)


@pytest.mark.parametrize(
    ("ends", "wait", "refused"),
    [(5000, 5.0, False), (5001, 5.0, True), (0, 0.0, False), (0, -1, True), (0, -0.001, True)],
)
def test_who_can_wait_until_the_end_of_a_bake_does(
    monkeypatch: pytest.MonkeyPatch, ends: int, wait: float, refused: bool
) -> None:
    made = scene(monkeypatch, ends=ends, wait=0.0)
    said = r'"owner" is in wave 1 of 2, baking until .* at the earliest; '
    with pytest.raises(GroupBusy, match=said) if refused else nullcontext():
        refuse_long_waits(cast(Any, made), GroupId("team-a"), OperationId("owner"), wait)


@pytest.mark.parametrize(
    ("ends", "wait", "pauses", "why"),
    [
        (None, 0.0, [], "still holds it after 0 s"),
        (None, 0.5, [0.5], "still holds it after 0.5 s"),
        (None, 1.5, [1.0, 0.5], "still holds it after 1.5 s"),
        (0, 0.0, [], "is in wave 1 of 2"),
        (0, 0.5, [0.5], "is in wave 1 of 2"),
        (100, 1.5, [1.0, 0.5], "is in wave 1 of 2"),
    ],
)
def test_a_request_looks_again_each_second_until_its_wait_is_over(
    monkeypatch: pytest.MonkeyPatch, ends: int | None, wait: float, pauses: list[float], why: str
) -> None:
    made = scene(monkeypatch, *[OURS] * 4, ends=ends, wait=wait)
    with pytest.raises(GroupBusy, match=why):
        accept(cast(Any, made), REQUEST)
    assert made.pauses == pauses
    assert made.asked == len(pauses) + 2, "after the last pause, too"


def test_who_is_late_is_told_so_without_another_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(monkeypatch, *[OURS] * 2, ends=None, wait=0.2)
    made.lasts[1] = 0.7
    with pytest.raises(GroupBusy, match="still holds it"):
        accept(cast(Any, made), REQUEST)
    assert made.pauses == []


def test_another_owner_at_the_last_moment_is_asked_about_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(monkeypatch, OURS, OTHERS, Accepted.ACCEPTED, ends=0, wait=1.0)
    made.lasts[1] = 2.0
    assert accept(cast(Any, made), REQUEST) is Accepted.ACCEPTED
    assert (made.heard, made.pauses) == (made.clock, [])


@pytest.mark.parametrize(("ends", "told"), [(500, 0), (100, 1)])
def test_who_cannot_wait_does_not_say_that_it_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ends: int, told: int
) -> None:
    caplog.set_level(logging.INFO, "lockstep.producer.client.client")
    made = scene(monkeypatch, *[OURS] * 4, ends=ends, wait=0.2)
    with pytest.raises(GroupBusy):
        accept(cast(Any, made), REQUEST)
    assert caplog.messages == ['group "team-a" is held by operation "owner": waiting'] * told


def test_a_request_that_is_withdrawn_at_once_asks_only_whether_redis_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = scene(monkeypatch, ends=None, wait=1.0)
    made.heard -= 5
    with pytest.raises(RequestWithdrawn):
        accept(cast(Any, made), REQUEST, lambda: True)
    assert (made.looks, made.asked) == (1, 0)
