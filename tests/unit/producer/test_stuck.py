"""Who needs a person: every state, on both sides of its limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.operators.history import HELD_FOR_LONG, SLOW, UNSWEPT, advised, stuck
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.model import (
    Hold,
    HostName,
    Millis,
    RolloutState,
    Stage,
    State,
    Status,
    Step,
    Undo,
)
from tests.unit.producer.samples import OPERATION

DECIDED = Millis(OPERATION.created_at + 1000)
ROLLING = replace(
    OPERATION,
    state=State.ROLLING_BACK,
    decided_at=DECIDED,
    pending_hosts=(HostName("node1"), HostName("node3")),
)
STALLED = replace(ROLLING, stalled_hosts=ROLLING.pending_hosts)
COMMITTED = replace(OPERATION, state=State.COMMITTED, decided_at=DECIDED, settling=True)
SETTLING_BACK = replace(ROLLING, pending_hosts=(), settling=True)


def at(moment: int) -> Millis:
    return Millis(moment)


def test_an_undecided_operation_is_the_sweeps_until_a_minute_after_its_deadline() -> None:
    assert stuck(OPERATION, at(OPERATION.deadline_at + UNSWEPT - 1)) is None
    found = stuck(OPERATION, at(OPERATION.deadline_at + UNSWEPT))
    assert found is not None
    assert found.why == "undecided 1 min after its deadline: nobody sweeps"


def test_hosts_that_cannot_be_restored_need_a_person_at_once() -> None:
    found = stuck(STALLED, DECIDED)
    assert found is not None
    assert found.why == "node1, node3 cannot be restored"
    assert found.advice[0].startswith("lockstep status 7f3c ")
    assert found.advice[1].startswith('lockstep abandon 7f3c node1 --reason "…"')


@pytest.mark.parametrize("operation", [ROLLING, replace(ROLLING, stalled_hosts=(HostName("node1"),))])
def test_hosts_that_answer_are_waited_for(operation: Status) -> None:
    assert stuck(operation, at(DECIDED + SLOW - 1)) is None
    found = stuck(operation, at(DECIDED + SLOW))
    assert found is not None
    assert found.why == "node1, node3 not restored 5 min after the decision"


@pytest.mark.parametrize("operation", [COMMITTED, SETTLING_BACK])
def test_settling_is_waited_for(operation: Status) -> None:
    assert stuck(operation, at(DECIDED + SLOW - 1)) is None
    for late, told in ((SLOW, "5 min"), (3 * 3_600_000, "3 h")):
        found = stuck(operation, at(DECIDED + late))
        assert found is not None
        assert found.why.startswith(f"still settling {told} after the decision")


@pytest.mark.parametrize("operation", [OPERATION, STALLED, COMMITTED])
def test_what_has_ended_needs_nobody(operation: Status) -> None:
    ended = replace(operation, ended=True)
    assert stuck(ended, at(DECIDED + 10**12)) is None


def test_a_host_whose_answers_cannot_be_read_is_to_be_mended() -> None:
    found = stuck(STALLED, DECIDED)
    assert found is not None
    why = 'GET 200, unreadable: the body is encoded ("gzip"), which was not asked for'
    steps = [
        Step(HostName("node1"), undo=Undo.NEEDED, reason="GET not sent: connection refused"),
        Step(HostName("node2"), undo=Undo.RESTORED, reason=why, why=ReasonKind.UNREADABLE),
        Step(HostName("node3"), undo=Undo.NEEDED, reason=why, why=ReasonKind.UNREADABLE),
    ]
    first, *others = advised(found, OPERATION.id, steps).advice
    assert first.startswith("lockstep probe node3  # it answers, but not so that it can be read (GET 200, ")
    assert tuple(others) == found.advice
    assert advised(found, OPERATION.id, steps[:2]) == found
    theirs = Step(
        HostName("node4"), undo=Undo.NEEDED, reason="it shows something else", why=ReasonKind.FOREIGN
    )
    first, *others = advised(found, OPERATION.id, [theirs]).advice
    assert first.startswith(f"lockstep resolve {OPERATION.id} node4 --restore  # or --leave: ")
    assert tuple(others) == found.advice


def in_waves(stage: Stage, hold: Hold | None = None, bake_until: int | None = None) -> Status:
    """An operation in the first of two waves."""
    until = None if bake_until is None else Millis(bake_until)
    return replace(OPERATION, rollout=RolloutState(1, 2, stage, hold, until, None))


def test_an_operation_is_the_sweeps_in_a_bake_until_a_minute_after_it() -> None:
    over = OPERATION.deadline_at + 10 * UNSWEPT
    baking = in_waves(Stage.BAKING, bake_until=over)
    assert stuck(baking, at(over + UNSWEPT - 1)) is None
    found = stuck(baking, at(over + UNSWEPT))
    assert found is not None
    assert found.why == "undecided 1 min after its bake: nobody sweeps"
    assert stuck(in_waves(Stage.BAKING), at(over)) is None, "it has not begun"
    waiting = stuck(in_waves(Stage.WAITING, bake_until=over), at(over))
    assert waiting is not None
    assert waiting.why == "undecided 10 min after its deadline: nobody sweeps"


def test_a_hold_is_listed_after_an_hour_with_who_holds_it_and_what_to_type() -> None:
    since = OPERATION.deadline_at + 10 * UNSWEPT
    held = in_waves(Stage.WAITING, Hold(1, "ann", "look at node1", at(since), at(since + 10**9)))
    assert stuck(held, at(since + HELD_FOR_LONG - 1)) is None
    found = stuck(held, at(since + HELD_FOR_LONG))
    assert found is not None
    assert found.why == "held 1 h by ann: look at node1"
    assert [each.split("  #")[0] for each in found.advice] == [
        f"lockstep promote {held.id}",
        f'lockstep cancel {held.id} --reason "…"',
    ]
