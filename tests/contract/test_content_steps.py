"""The steps of things with content, over nodes that play a kind, in the twin's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from lockstep.worker.kinds import asked_of
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.answer import HostApi
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import Backoff
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    HostRef,
    OperationId,
    Outcome,
    State,
    Status,
    Undo,
)
from lockstep.worker.operation.thing import ThingRequest
from lockstep.worker.operation.transitions import Request as Wanted
from lockstep.worker.operation.waves import Rollout
from lockstep.worker.steps.apply import StepContext, forward
from lockstep.worker.steps.rollback import rollback, settle
from tests.contract.bench import LIMITS, MemoryBench
from tests.contract.contents import Node
from tests.unit.kinds.made import RECORD, kind_of, record

A, B, C = HostName("a"), HostName("b"), HostName("c")
KIND = kind_of(RECORD)
THING = KIND.parse("record/www")


class Clock:
    """The twin's."""

    def __init__(self, bench: MemoryBench) -> None:
        self.bench, self.ids = bench, 0

    def elapsed(self) -> float:
        return self.bench.time / 1000

    def jitter(self) -> float:
        return 0.5

    def new_id(self) -> AttemptId:
        self.ids += 1
        return AttemptId(f"t{self.ids}")


class Rig:
    """An operation on one record, and the nodes that it is on."""

    def __init__(
        self,
        verb: str,
        *nodes: tuple[HostName, Node],
        kind: Kind = KIND,
        secrets: Mapping[str, str] | None = None,
        seals: SealKeys | None = None,
        rollout: Rollout | None = None,
        **given: Any,
    ) -> None:
        self.bench, self.nodes = MemoryBench(), dict(nodes)
        self.id, self.group = OperationId("one"), GroupId(THING.text)
        self.action = Action.DELETE if verb == "delete" else Action.CREATE
        seals = seals or SealKeys()
        asked, _ = asked_of(kind, THING, verb, given, secrets or {}, seals, accept_loss=True)
        refs = tuple(HostRef(name, node.fingerprint) for name, node in nodes)
        store = self.bench.memory
        wanted = Wanted(self.id, self.group, self.action, refs, 60_000, "a test", content=asked)
        store.accept(replace(wanted, rollout=rollout))
        self.context = StepContext(
            store=store,
            host=self.host,
            host_to_apply=self.host,
            clock=Clock(self.bench),
            limits=LIMITS,
            forward_backoff=Backoff(0.01, 0.05),
            rollback_backoff=Backoff(0.01, 0.05),
            retry_after_cap=1.0,
            order=store.order,
            kind=lambda _: kind,
            seals=seals,
        )

    def host(self, name: HostName) -> HostApi | None:
        return cast(HostApi | None, self.nodes.get(name))

    def run(self) -> Rig:
        """Run steps until the operation has ended or nothing changes any more."""
        for _ in range(40):
            kept = self.kept
            if kept.ended:
                break
            for name in self.nodes:
                self.work(name, kept)
            self.bench.pass_time(LIMITS.call)
        return self

    def work(self, name: HostName, kept: Status) -> None:
        """Run the step that a host needs by what was read of the operation."""
        if kept.decision is None:
            forward(self.context, self.id, self.group, self.action, name, 1)
        elif kept.state is State.ROLLING_BACK:
            rollback(self.context, self.id, name, 1)
        else:
            settle(self.context, self.id, name, 1)

    @property
    def kept(self) -> Status:
        kept = self.bench.memory.operation(self.id)
        assert kept is not None
        return kept

    @property
    def state(self) -> State:
        return self.kept.state

    @property
    def why(self) -> str:
        return self.kept.reason or ""

    def step(self, name: HostName) -> Any:
        return next(step for step in self.bench.memory.steps(self.id) if step.host == name)


def test_set_brings_every_host_to_one_content_and_leaves_what_is_not_given() -> None:
    a, b = Node("a", record("x")), Node("b", record("y", note="theirs"))
    rig = Rig("set", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.COMMITTED
    assert a.holds == record("n", ttl=3600)
    assert b.holds == record("n", ttl=3600, note="theirs")
    assert len(a.writes) == len(b.writes) == 1


def test_a_write_of_content_stays_once_another_step_was_told_of_the_decision_and_its_undo_does_not() -> None:
    told, left = [0], list[bool]()

    class Late(Node):
        def send(self, *asked: Any, **more: Any) -> WriteAnswer:
            left.append(asked[5]())
            told[0] += 1
            left.append(asked[5]())
            return super().send(*asked, **more)

    a, b = Late("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), values=["n"])
    rig.context = replace(rig.context, decided=lambda _: told[0])
    assert rig.run().state is State.ROLLED_BACK
    assert left == [True, False, True, True]
    assert [each for _, each in a.writes] == [record("n", ttl=3600), record("x")]


def test_a_failure_brings_every_host_back_to_its_own_old_content_proved_by_a_look() -> None:
    a, b, c = Node("a", record("x")), Node("b", record("y", ttl=5)), Node("c", record("z"))
    c.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), (C, c), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert (a.holds, b.holds, c.holds) == (record("x"), record("y", ttl=5), record("z"))
    assert rig.step(A).undo is Undo.RESTORED


def test_a_deleted_thing_comes_back_as_each_host_held_it() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("delete", (A, a), (B, b)).run()
    assert rig.state is State.ROLLED_BACK
    assert (a.holds, b.holds) == (record("x"), record("y"))
    assert [method for method, _ in a.writes] == ["DELETE", "PUT"]


def test_create_refuses_other_content_and_is_unchanged_where_it_stands_so_already() -> None:
    a, b = Node("a"), Node("b", record("n", ttl=3600))
    assert Rig("create", (A, a), (B, b), values=["n"]).run().state is State.COMMITTED
    assert b.writes == []
    a, b = Node("a"), Node("b", record("other"))
    rig = Rig("create", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert "it is there with other content: set it" in rig.why
    assert (a.holds, b.holds) == (None, record("other"))


@pytest.mark.parametrize("manner", ["late", "lose"])
def test_a_lost_answer_is_looked_into(manner: str) -> None:
    a = Node("a", record("x"))
    a.manners = [manner]
    rig = Rig("set", (A, a), values=["n"]).run()
    assert rig.state is State.COMMITTED
    assert a.holds == record("n", ttl=3600)
    assert len(a.writes) == (1 if manner == "late" else 2)


def test_a_host_that_rewrites_is_committed_and_restored() -> None:
    a, b = Node("a", record("X")), Node("b", record("y"))
    a.rewrites = True
    assert Rig("set", (A, a), (B, b), values=["n"]).run().state is State.COMMITTED
    assert a.holds == record("N", ttl=3600)
    a, b = Node("a", record("X")), Node("b", record("y"))
    a.rewrites, b.manners = True, ["refuse"]
    assert Rig("set", (A, a), (B, b), values=["n"]).run().state is State.ROLLED_BACK
    assert a.holds == record("X")


def test_a_host_that_says_yes_and_changes_nothing_rolls_the_operation_back() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    a.manners = ["ignore"]
    rig = Rig("set", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert rig.step(A).outcome is Outcome.REFUSED
    assert "a said yes (204), and changed nothing" in rig.why
    assert b.holds == record("y")
    assert len(a.writes) == 1, "never a second write"


def test_what_a_third_hand_made_since_the_look_is_named_as_overwritten() -> None:
    a, b = Node("a"), Node("b")
    a.before_write = [record("theirs")]
    rig = Rig("create", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert rig.step(A).trace.overwrote
    assert b.holds is None


def test_a_third_hand_after_our_write_is_left_to_a_person() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), values=["n"])
    forward(rig.context, rig.id, rig.group, rig.action, A, 1)
    a.holds = record("theirs")
    rig.run()
    assert rig.state is State.ROLLING_BACK
    assert a.holds == record("theirs")
    assert rig.step(A).trace.foreign
    rig.bench.memory.resolve(rig.id, A, "alice")
    assert rig.run().state is State.ROLLED_BACK
    assert a.holds == record("x")


@pytest.mark.parametrize("restore", ["exact", "presence"])
def test_a_host_that_restores_presence_alone_is_restored_where_the_kind_says_so(restore: str) -> None:
    kind = kind_of(KIND.source.replace(", rewritten: true", "") + f"restore: {restore}\n")
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), kind=kind, values=["n"])
    forward(rig.context, rig.id, rig.group, rig.action, A, 1)
    a.rewrites = True
    rig.run()
    assert a.holds == record("X")
    assert rig.state is (State.ROLLED_BACK if restore == "presence" else State.ROLLING_BACK)
    assert rig.step(A).lost_fields == (("values",) if restore == "presence" else ())


@pytest.mark.parametrize("says_null", [True, False], ids=["says null", "leaves it out"])
def test_a_field_that_a_set_added_is_taken_away_again_or_is_left_to_a_person(says_null: bool) -> None:
    """Where a host merges what it is sent, an undo has to say null of what was not there."""
    body = (
        "json: {ttl: content.ttl, values: content.values, note: or_null(content.note)}, " if says_null else ""
    )
    update = 'update: {request: "PUT /records/{id}", '
    kind = kind_of(KIND.source.replace(update, update + body))
    a, b = Node("a", record("x", note=None)), Node("b", record("y"))
    a.merges, b.manners = True, ["refuse"]
    rig = Rig("set", (A, a), (B, b), kind=kind, values=["n"], note="added")
    forward(rig.context, rig.id, rig.group, rig.action, A, 1)
    assert a.holds == record("n", ttl=3600, note="added")
    rig.run()
    assert a.holds == record("x", note=None if says_null else "added")
    assert rig.state is (State.ROLLED_BACK if says_null else State.ROLLING_BACK)
    assert bool(rig.step(A).trace.foreign) is not says_null


def test_a_worker_without_the_definition_counts_nothing() -> None:
    rig = Rig("set", (A, Node("a", record("x"))), values=["n"])
    context = StepContext(
        **{**{name: getattr(rig.context, name) for name in rig.context.__slots__}, "kind": lacking}
    )
    said = forward(context, rig.id, rig.group, rig.action, A, 1)
    assert "lacks the definition" in said.text
    assert rig.step(A).misses == 0


def lacking(asked: ThingRequest) -> Kind:
    from lockstep.worker.operation.errors import InvalidInput

    raise InvalidInput(f"no definition here is {asked.kind}")
