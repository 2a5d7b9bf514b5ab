from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    HostName,
    Millis,
    Presence,
    Step,
)
from lockstep.worker.operation.thing import Digest, ThingRequest


def attempt(name: str, state: AttemptState, *, undo: bool = False) -> Attempt:
    return Attempt(AttemptId(name), undo, state, Millis(0), Millis(5), Millis(20), clean=True)


@pytest.mark.parametrize("action", Action)
def test_an_action_and_its_inverse_undo_each_other(action: Action) -> None:
    assert action.inverse is not action
    assert action.inverse.inverse is action
    assert {action.target, action.inverse.target} == set(Presence)


def test_a_create_asks_for_presence() -> None:
    assert Action.CREATE.target is Presence.PRESENT


def test_a_step_is_touched_by_its_first_attempt_whatever_came_of_it() -> None:
    assert not Step(HostName("a")).touched
    for state in AttemptState:
        assert Step(HostName("a"), attempts=(attempt("1", state),)).touched


def test_only_open_attempts_are_open_and_only_forward_ones_count_as_writes() -> None:
    attempts = tuple(attempt(state, state) for state in AttemptState)
    step = Step(HostName("a"), attempts=(*attempts, attempt("undo", AttemptState.OPEN, undo=True)))
    assert [each.id for each in step.open_attempts] == ["open", "undo"]
    assert step.writes == len(AttemptState)


def test_what_is_kept_of_a_request_is_read_back_without_its_texts() -> None:
    about = "set", "vhost", "d1", Digest("t"), "vhost/a"
    asked = ThingRequest(*about, secret=True, once=False, upsert=True, texts={"t": "its text"})
    kept = asked.kept()
    assert "settle" not in kept
    assert json.loads(kept)["waved"] is False
    assert ThingRequest.of(kept) == asked
    assert (ThingRequest.of(kept).settle, ThingRequest.of(kept).texts) == (0, {})
    slow = replace(asked, settle=5000, seal="key")
    assert ThingRequest.of(slow.kept(waved=True)) == slow
