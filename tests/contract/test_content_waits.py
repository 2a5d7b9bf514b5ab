"""When a run of a step on a thing with content comes back, and what it counts."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Flaw, Shown, Sight
from lockstep.worker.steps.apply import Next, StepResult, forward
from lockstep.worker.steps.rollback import rollback
from tests.contract.contents import Node
from tests.contract.test_content_steps import A, Rig
from tests.unit.kinds.made import record


def test_a_look_that_tells_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "look_at_thing", lambda _, kind, thing: kind.shown(thing, Reply(503)))
    rig = Rig("set", (A, Node("a")), values=["n"])
    assert forward(rig.context, rig.id, rig.group, rig.action, A, 1).text == "look 503"


@pytest.mark.parametrize(
    ("shown", "misses"),
    [
        (Shown(Sight.BUSY, text="202"), 0),
        (Shown(Sight.NOTHING, text="503", flaw=Flaw.FAILED), 1),
        (Shown(Sight.NOTHING, text="no answer", flaw=Flaw.SILENT), 1),
    ],
)
def test_a_thing_in_transition_is_looked_at_again_and_no_miss_is_counted(
    monkeypatch: pytest.MonkeyPatch, shown: Shown, misses: int
) -> None:
    monkeypatch.setattr(Node, "look_at_thing", lambda *_: shown)
    rig = Rig("set", (A, Node("a")), values=["n"])
    assert forward(rig.context, rig.id, rig.group, rig.action, A, 1).next is Next.AGAIN
    assert rig.step(A).misses == misses


def test_an_undo_waits_for_what_may_still_land_and_counts_no_try() -> None:
    a = Node("a", record("x"))
    a.manners, a.before_write = ["lose"], [record("theirs")]
    rig = Rig("set", (A, a), values=["n"])
    rig.work(A, rig.kept)
    rig.bench.memory.cancel(rig.id, "ann")
    assert rollback(rig.context, rig.id, A, 1) == StepResult(Next.AGAIN, "trying again", 0.01)
    assert rig.step(A).undo_misses == 0
