"""A look of the gate at a thing with content: what it shows decides whether the next wave opens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.content import Flaw, Id, Shown, Sight
from lockstep.worker.operation.model import Decision, RolloutState
from lockstep.worker.steps.apply import Next, StepResult
from lockstep.worker.steps.looks import gate
from tests.contract.contents import Node
from tests.contract.test_content_steps import A, B, Rig, lacking
from tests.contract.waves import CAREFUL
from tests.unit.kinds.made import record


class Gated:
    """A set of a record on a, which is changed and is to pass the gate, and then on b."""

    def __init__(self, rewrites: bool = False) -> None:
        self.node, self.other = Node("a", record("x")), Node("b", record("y"))
        self.node.rewrites = rewrites
        self.rig = Rig("set", (A, self.node), (B, self.other), rollout=CAREFUL, values=["n"])
        while not self.gating:
            self.rig.work(A, self.rig.kept)

    @property
    def rollout(self) -> RolloutState:
        found = self.rig.kept.rollout
        assert found is not None
        return found

    @property
    def decision(self) -> Decision | None:
        return self.rig.kept.decision

    @property
    def gating(self) -> bool:
        return self.rig.bench.memory.view(self.rig.id, A).gating is not None

    def look(self) -> StepResult:
        self.rig.bench.pass_time(1000)
        return gate(self.rig.context, self.rig.id, A, 1)


@pytest.mark.parametrize("rewrites", [False, True])
def test_a_host_that_shows_what_is_asked_opens_the_next_wave_in_its_own_form_too(rewrites: bool) -> None:
    gated = Gated(rewrites)
    assert gated.node.holds == record("N" if rewrites else "n", ttl=3600)
    said = gated.look()
    assert (said.next, said.text) == (Next.DONE, "passed the gate: shows what is asked for")
    assert (gated.rollout.wave, gated.decision) == (2, None)


def test_a_host_that_a_third_hand_changed_since_fails_and_nothing_more_is_changed() -> None:
    gated = Gated()
    gated.node.holds = record("theirs")
    said = gated.look()
    assert (said.next, said.text) == (Next.FAILED, "failed at the gate: shows what nobody asked for")
    assert gated.decision is Decision.ROLL_BACK
    assert gated.other.writes == []


def test_a_host_that_cannot_be_read_is_asked_again_and_fails_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(_: Kind, __: Id) -> Shown:
        return Shown(Sight.NOTHING, flaw=Flaw.SILENT, text="503")

    gated = Gated()
    monkeypatch.setattr(gated.node, "look_at_thing", silent)
    said = gated.look()
    assert (said.next, said.text, gated.decision) == (Next.AGAIN, "look 503", None)
    looks = 1
    while said.next is Next.AGAIN:
        said, looks = gated.look(), looks + 1
    assert (looks, said.next, gated.decision) == (3, Next.FAILED, Decision.ROLL_BACK)
    assert gated.rig.why == "a failed at the gate (look 503)"


def test_a_worker_without_the_definition_opens_no_wave() -> None:
    gated = Gated()
    gated.rig.context = replace(gated.rig.context, kind=lacking)
    said = gated.look()
    assert said.next is Next.AGAIN
    assert said.text.startswith("this worker lacks the definition of the kind: put record@")
    assert gated.rollout.wave == 1
