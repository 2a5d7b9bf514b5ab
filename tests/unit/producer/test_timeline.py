"""The story of an operation is whole and in order, and the picture of it is honest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.cli.report import Scale, came_to, chart, lanes, page, tick
from lockstep.producer.operators.history import last_moment, timeline
from lockstep.worker.operation.model import (
    Action,
    HostName,
    Millis,
    Moment,
    Outcome,
    Presence,
    RolloutState,
    Seen,
    Stage,
    Step,
    Undo,
)
from lockstep.worker.operation.names import seconds
from lockstep.worker.operation.story import story
from lockstep.worker.operation.thing import Digest, Trace
from tests.unit.kinds.made import LEAST, kind_of
from tests.unit.producer.samples import OPERATION
from tests.unit.producer.stories import ROLLED_BACK, START, STEPS, write


def test_every_attempt_and_every_turn_is_told_in_order() -> None:
    told = [(event.at - START, event.what, event.host) for event in timeline(ROLLED_BACK, STEPS)]
    assert told == [
        (0, "accepted", None),
        (40, "POST", "node1"),
        (60, "POST", "node3"),
        (100, "POST", "node6"),
        (1200, "POST", "node3"),
        (15_900, "POST", "node4"),
        (16_300, "decided", None),
        (16_400, "DELETE", "node1"),
        (16_500, "DELETE", "node6"),
        (17_000, "DELETE", "node3"),
        (29_000, "ended", None),
    ]
    first = next(event for event in timeline(ROLLED_BACK, STEPS) if event.attempt)
    assert (first.what, first.took) == ("POST", 35)


def test_within_a_millisecond_nothing_is_undone_before_the_decision_nor_after_the_end() -> None:
    at = Millis(START)
    operation = replace(ROLLED_BACK, decided_at=at, ended_at=at)
    made, undone = write("a", 0, 0), write("b", 0, 0, undo=True)
    steps = [replace(STEPS[0], attempts=(undone, made)), replace(STEPS[2], attempts=(made,))]
    assert [event.what for event in timeline(operation, steps)] == [
        "accepted",
        "POST",
        "POST",
        "decided",
        "DELETE",
        "ended",
    ]


def test_undoing_a_delete_posts() -> None:
    events = timeline(replace(ROLLED_BACK, action=Action.DELETE), STEPS[:1])
    assert [event.what for event in events if event.host] == ["DELETE", "POST"]


@pytest.mark.parametrize(
    ("action", "before", "called"),
    [
        (Action.CREATE, Presence.ABSENT, ("create", "delete")),
        (Action.CREATE, Presence.PRESENT, ("update", "update")),
        (Action.DELETE, Presence.PRESENT, ("delete", "create")),
    ],
)
def test_a_write_of_a_thing_has_the_method_of_its_kind(
    action: Action, before: Presence, called: tuple[str, str]
) -> None:
    kind = kind_of(LEAST.replace("update: PUT", "update: PATCH"))
    operation = replace(ROLLED_BACK, action=action, verb="set")
    steps = [replace(STEPS[0], before=Seen(before), trace=Trace(was=Digest("d")), undo=Undo.RESTORED)]
    for methods in ({}, kind.methods):
        wanted = [methods.get(each, each) for each in called]
        events = timeline(operation, steps, methods)
        assert [event.what for event in events if event.host] == wanted
        text = page(operation, steps, Millis(START), methods=methods)
        assert all(f"<title>{each}" in text for each in wanted)
        assert f"undone: {called[1]} answered" in story(action, steps[0], operation.decided_at).text


def test_an_operation_that_has_just_begun() -> None:
    (event,) = timeline(OPERATION, ())
    assert (event.said, event.took) == ("by alice@desk", None)
    assert last_moment(OPERATION, ()) == OPERATION.created_at


def test_a_wave_that_changed_nothing_is_told_to_prove_nothing() -> None:
    done = tuple(Moment(Millis(START + number), "done", number) for number in (1, 2))
    operation = replace(OPERATION, rollout=RolloutState(2, 2, Stage.WAITING, None, None, None, moments=done))
    outcomes = (Outcome.UNCHANGED, Outcome.APPLIED)
    steps = [
        Step(HostName(f"node{wave}"), outcome=outcome, wave=wave)
        for wave, outcome in enumerate(outcomes, start=1)
    ]
    told = {event.what: event.said for event in timeline(operation, steps)}
    assert told["wave 1 done"] == "it changed nothing: not baked, and no proof for the others"
    assert told["wave 2 done"] is None


def test_overlapping_attempts_have_lanes_of_their_own() -> None:
    for times, chosen in (
        (((0, 10), (5, None), (12, 20), (15, 18), (30, 31)), [0, 1, 0, 2, 0]),
        (((0, 30), (1, 10), (2, 40), (12, 20), (15, 18)), [0, 1, 2, 1, 3]),
    ):
        attempts = [write(f"w{opened}", opened, closed) for opened, closed in times]
        assert lanes(attempts, Millis(START + 40), apart=0) == chosen
    near = [write("a", 0, 10), write("c", 12, 20)]
    assert lanes(near, Millis(START + 40), apart=15) == [0, 1]


@pytest.mark.parametrize(
    ("span", "expected"), [(1, 1), (9, 2), (40, 5), (29_000, 5000), (86_400_000, 20_000_000)]
)
def test_ticks_are_round_and_few(span: int, expected: int) -> None:
    assert tick(span) == expected


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (2500, "2.5 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min"),
        (600_000, "10 min"),
        (65_000, "1 min 5 s"),
        (3_600_000, "1 h"),
        (12_000_000, "3 h 20 min"),
        (36_000_000, "10 h"),
        (3_599_999, "59 min 59 s"),
        (3_659_999, "1 h"),
        (3_660_000, "1 h 1 min"),
    ],
)
def test_durations_are_told_in_the_unit_that_fits(milliseconds: int, text: str) -> None:
    assert seconds(milliseconds) == text


def test_the_scale_keeps_everything_inside() -> None:
    scale = Scale(Millis(0), Millis(0))
    assert scale.x(-5) == scale.x(0) < scale.x(10**9)


def test_a_bar_for_every_attempt() -> None:
    drawn = chart(ROLLED_BACK, STEPS, Millis(START + 29_000))
    assert drawn.count('class="bar') == sum(len(step.attempts) for step in STEPS)
    assert drawn.count("url(#stripes)") == 3
    assert [came_to(ROLLED_BACK, step) for step in STEPS] == [
        "changed, undone",
        "not changed",
        "changed, undone",
        "not changed",
        "not changed",
        "changed, given up",
    ]
