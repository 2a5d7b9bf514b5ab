"""When a run of a step on a thing with content comes back, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest

from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Flaw, Shown, Sight
from lockstep.worker.steps import content
from lockstep.worker.steps.apply import Next, StepResult, forward
from lockstep.worker.steps.rollback import RESTORED, ROUNDS, rollback, settle
from tests.contract.contents import Node
from tests.contract.test_content_steps import A, B, Rig
from tests.unit.kinds.made import RECORD, kind_of, record


def test_a_look_that_tells_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "look_at_thing", lambda _, kind, thing: kind.shown(thing, Reply(503)))
    rig = Rig("set", (A, Node("a")), values=["n"])
    assert forward(rig.context, rig.id, rig.group, rig.action, A, 1).text == "look 503"


@pytest.mark.parametrize(
    ("shown", "misses", "reason"),
    [
        (Shown(Sight.BUSY, text="202"), 0, "in transition (202)"),
        (Shown(Sight.NOTHING, text="503", flaw=Flaw.FAILED), 1, "look 503"),
        (Shown(Sight.NOTHING, text="no answer", flaw=Flaw.SILENT), 1, "look no answer"),
    ],
)
def test_a_thing_in_transition_is_looked_at_again_and_no_miss_is_counted(
    monkeypatch: pytest.MonkeyPatch, shown: Shown, misses: int, reason: str
) -> None:
    monkeypatch.setattr(Node, "look_at_thing", lambda *_: shown)
    rig = Rig("set", (A, Node("a")), values=["n"])
    assert forward(rig.context, rig.id, rig.group, rig.action, A, 1).next is Next.AGAIN
    assert (rig.step(A).misses, rig.step(A).reason) == (misses, reason)


def test_a_run_that_has_looked_as_often_as_it_may_comes_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "ROUNDS", 1)
    rig = Rig("set", (A, Node("a", record("x"))), values=["n"])
    came = forward(rig.context, rig.id, rig.group, rig.action, A, 5)
    assert came == StepResult(Next.AGAIN, "not settled yet", 0.005)


def test_an_undo_waits_for_what_may_still_land_and_counts_no_try() -> None:
    a = Node("a", record("x"))
    a.manners, a.before_write = ["lose"], [record("theirs")]
    rig = Rig("set", (A, a), values=["n"])
    rig.work(A, rig.kept)
    rig.bench.memory.cancel(rig.id, "ann")
    assert rollback(rig.context, rig.id, A, 1) == StepResult(Next.AGAIN, "trying again", 0.01)
    assert rig.step(A).undo_misses == 0


def undone(*manners: str) -> tuple[StepResult, Rig, Node]:
    """Run the undo of A, which holds what was asked for, and does this to the writes that are to undo it."""
    a = Node("a", record("x"))
    a.manners = ["", *manners]
    rig = Rig("set", (A, a), (B, Node("b")), values=["n"])
    rig.work(A, rig.kept)
    rig.bench.memory.cancel(rig.id, "ann")
    return rollback(rig.context, rig.id, A, 1), rig, a


@pytest.mark.parametrize("refuses", [False, True])
def test_an_undo_that_was_answered_is_looked_at_at_once_unless_it_was_refused(refuses: bool) -> None:
    came, rig, _ = undone("refuse" if refuses else "")
    assert came == (StepResult(Next.AGAIN, "undo refused (403)", 0.005) if refuses else RESTORED)
    assert (rig.step(A).undo_misses, rig.step(A).open_attempts) == (refuses, ())


def test_a_host_that_says_yes_to_each_undo_and_does_nothing_is_come_back_to() -> None:
    came, rig, a = undone(*["ignore"] * ROUNDS)
    assert came == StepResult(Next.AGAIN, "not restored yet", 0.005)
    assert (rig.step(A).undo_misses, len(a.writes)) == (1, 1 + ROUNDS)


def test_what_is_open_of_a_thing_is_settled_by_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    a = Node("a", record("x"))
    a.manners = ["lose"]
    rig = Rig("set", (A, a), (B, Node("b")), values=["n"])
    rig.work(A, rig.kept)
    rig.bench.memory.cancel(rig.id, "ann")
    monkeypatch.setattr(Node, "look_at_thing", lambda _, kind, thing: kind.shown(thing, Reply(503)))
    assert settle(rig.context, rig.id, A, 1) == StepResult(Next.AGAIN, "look 503", 0.005)
    assert rig.step(A).undo_misses == 1


def test_a_write_without_an_answer_is_not_looked_into_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, looks, look = Node("a", record("x")), list[Node](), Node.look_at_thing
    a.manners = ["lose"]
    rig = Rig("set", (A, a), (B, Node("b")), values=["n"])

    def counted(node: Node, *about: Any) -> Shown:
        looks.append(node)
        return look(node, *about)

    monkeypatch.setattr(Node, "look_at_thing", counted)
    assert forward(rig.context, rig.id, rig.group, rig.action, A, 1).next is Next.AGAIN
    assert (len(looks), len(a.writes)) == (1, 1)


def test_what_was_deleted_comes_back_with_what_only_a_create_sends_of_it() -> None:
    look, sent = 'look: {request: "GET /records/{id}", keep: {hash: item.hash}}', "hash: kept.hash"
    body = f"json: {{ttl: content.ttl, values: content.values, note: content.note, {sent}}}"
    keeps = RECORD.replace("look: GET /records/{id}", look).replace("applied: 201", f"{body}, applied: 201")
    a = Node("a", before := {**record("x"), "hash": "mine"})
    rig = Rig("delete", (A, a), (B, Node("b", {**record("x"), "hash": "theirs"})), kind=kind_of(keeps))
    rig.work(A, rig.kept)
    assert a.holds is None
    rig.bench.memory.cancel(rig.id, "ann")
    assert rollback(rig.context, rig.id, A, 1) == RESTORED
    assert a.holds == before
