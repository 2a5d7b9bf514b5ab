"""What a look at a thing does not prove, and what it is not about."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, AttemptId, AttemptState, GroupId
from lockstep.worker.operation.transitions import Forward
from tests.contract.bench import Bench
from tests.contract.contents import FOREIGN, GONE, OLD, TARGET, THING, A, B, Thing
from tests.contract.driver import Driver


@pytest.mark.parametrize(
    ("action", "about"), [(Action.DELETE, THING), (Action.CREATE, GroupId("vhost/other"))]
)
def test_a_look_for_another_operation_that_had_the_id_changes_nothing(
    bench: Bench, action: Action, about: GroupId
) -> None:
    thing = Thing(bench).accepted()
    said = thing.store.shown(thing.id, A, "url-of-a", OLD, AttemptId("a1"), action, about)
    assert said.next is Forward.OVER
    assert (thing.trace(A).was, thing.step(A).attempts) == (None, ())


def test_a_group_is_not_restored_by_what_a_thing_shows(bench: Bench) -> None:
    group = Driver(bench).accepted().undoing(A)
    look = group.store.restore(group.id, A, "url-of-a", bench.now(), 0, OLD, AttemptId("u1"))
    assert (look.next, len(group.step(A).attempts)) == (Forward.OVER, 1)


def test_a_look_proves_nothing_if_a_write_was_open_when_it_was_sent_or_is_now(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A).written(B, Effect.UNKNOWN).roll_back()
    assert thing.restore(A, OLD, opened=1).next is Forward.SETTLE
    assert thing.restore(A, OLD, opened=0).next is Forward.RESTORED
    assert thing.restore(B, OLD, opened=0).next is Forward.SETTLE
    assert thing.restore(B, FOREIGN).next is Forward.SETTLE, "it may be ours yet"


def test_a_write_that_replaced_something_was_made(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A, Effect.REPLACED, before=GONE)
    assert [each.state for each in thing.step(A).attempts] == [AttemptState.APPLIED]


@pytest.mark.parametrize(("effect", "reason"), [(Effect.REFUSED, "204"), (Effect.APPLIED, None)])
def test_why_a_host_is_not_restored_yet_is_what_was_said_to_an_inverse_that_changed_nothing(
    bench: Bench, effect: Effect, reason: str | None
) -> None:
    thing = Thing(bench).accepted().written(A).roll_back()
    assert thing.restore(A, TARGET).next is Forward.SEND
    thing.wrote(A, "u1", effect)
    assert thing.step(A).reason == reason
