"""Who publishes what an operation with waves needs next, and when the sweep looks: a model of its own.

A wave, a round of the gate and the rollback are one task each, with a label. Whoever opens one publishes it,
and may die before it; then the sweep does. Time is not counted: a patience or a bake is over at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

WORKING, BAKING, GATING, WAITING = "working", "baking", "gating", "waiting"
UNDOING, ENDED = "undoing", "ended"
NOW, PATIENCE, BAKE, NEVER = "now", "patience", "bake", "never"
"""When the sweep looks: at once, when nothing has moved for long, when the bake is over, when people act."""
HANDS = 2
"""Processes at a time that are about to publish what is next."""

Label = tuple[str, int]
"""What is published once: a wave, a round, the rollback."""


class State(NamedTuple):
    """The record, what is under way, and what may still go wrong."""

    stage: str
    wave: int
    round: int
    left: bool
    """The host of this wave, round or rollback has no outcome yet."""
    baked: bool
    held: bool
    dispatched: str
    """What the record names as published."""
    due: str
    published: frozenset[Label]
    """What was claimed at least once."""
    claimed: frozenset[Label] = frozenset()
    """In the hands of a process that has claimed it and sent nothing yet."""
    sent: frozenset[Label] = frozenset()
    """Messages on their way."""
    hands: int = 0
    holds: int = 0
    cancels: int = 0
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Publishing:
    """One configuration; each rule that is switched off makes a naive one."""

    waves: int = 2
    bake: bool = False
    gate: bool = False
    auto_hold: bool = False
    holds: int = 0
    cancels: int = 1
    sweep: bool = True
    """What nobody has published is published by the sweep."""
    label_names_wave: bool = True
    """What is published is known by its wave or round, not by its phase alone."""
    claim_marks: bool = True
    """Whoever claims names what it claims in the record, in the same transition."""
    due_of_record: bool = True
    """Every transition, a promote or a cancel too, says anew when the sweep looks."""
    patience_needs_work: bool = True
    """Nothing is waited for with patience while it bakes or is held."""

    def start(self) -> State:
        """It was accepted; its producer has claimed the first wave."""
        first = (WORKING, 1)
        once, held = frozenset({first}), self.auto_hold and self.waves > 1
        begun = State(WORKING, 1, 0, True, False, held, self.name(first), NOW, published=once, claimed=once)
        return self.close(begun._replace(holds=self.holds, cancels=self.cancels))

    def over(self, state: State) -> bool:
        """Whether nothing is left to be done."""
        return state.stage == ENDED

    def label(self, state: State) -> Label | None:
        """Return what is to be worked on now."""
        match state.stage:
            case "working":
                return WORKING, state.wave
            case "gating":
                return GATING, state.round
            case "undoing":
                return UNDOING, 0
        return None

    def name(self, label: Label) -> str:
        """Return under which name it is kept that it was published."""
        return f"{label[0]}:{label[1]}" if self.label_names_wave else label[0]

    def due(self, state: State) -> str:
        """Return when the sweep is to look, by the record alone."""
        label = self.label(state)
        if state.stage == ENDED:
            return NEVER
        if label is not None:
            return PATIENCE if self.name(label) == state.dispatched else NOW
        if not self.patience_needs_work:
            return PATIENCE
        if state.stage == BAKING and not (state.baked and state.held):
            return BAKE
        return NEVER

    def close(self, state: State, asked_anew: bool = True) -> State:
        """End a transition: what follows from the record, and when the sweep looks."""
        if asked_anew or self.due_of_record:
            state = state._replace(due=self.due(state))
        label = self.label(state)
        if label is not None and label not in state.published and state.due != NOW:
            return state._replace(broken="LATE: what nobody has published is not looked for at once")
        return state

    def move(self, state: State) -> State:
        """Go on as far as the record allows: the rule of the protocol, with one host a wave."""
        while True:
            match state.stage:
                case "working" if not state.left:
                    state = state._replace(stage=BAKING, baked=not self.bake)
                case "baking" if state.baked and self.gate:
                    return state._replace(stage=GATING, round=state.round + 1, left=True)
                case "baking" if state.baked:
                    state = state._replace(stage=WAITING)
                case "gating" if not state.left:
                    state = state._replace(stage=WAITING)
                case "waiting" if not state.held:
                    if state.wave == self.waves:
                        return state._replace(stage=ENDED)
                    held = self.auto_hold and state.wave + 1 < self.waves
                    return state._replace(stage=WORKING, wave=state.wave + 1, left=True, held=held)
                case "undoing" if not state.left:
                    return state._replace(stage=ENDED)
                case _:
                    return state

    def claim(self, state: State, *, resume: bool) -> State:
        """Claim what nobody has published; for the sweep also what has not moved for long."""
        moved = self.move(state)
        label = self.label(moved)
        if label is not None and self.name(label) != moved.dispatched:
            if label in moved.published:
                return moved._replace(broken="TWICE: published again although nothing stood still")
            moved = moved._replace(published=moved.published | {label}, claimed=moved.claimed | {label})
            moved = moved._replace(dispatched=self.name(label)) if self.claim_marks else moved
        elif label is not None and resume and state.due == PATIENCE:
            moved = moved._replace(claimed=moved.claimed | {label})
        elif resume and moved == state:
            return moved._replace(broken="POLLED: the sweep looked, and there was nothing to be done")
        return self.close(moved)

    def next(self, state: State) -> Iterator[tuple[str, State]]:
        """What may happen."""
        if state.stage == ENDED:
            return
        if self.sweep and (state.due in (NOW, PATIENCE) or (state.due == BAKE and state.baked)):
            yield "the sweep looks", self.claim(state, resume=True)
        if state.hands:
            fewer = state._replace(hands=state.hands - 1)
            yield "a worker publishes what is next", self.claim(fewer, resume=False)
            yield "a worker is killed before it publishes", fewer
        for label in state.claimed:
            rest = state._replace(claimed=state.claimed - {label})
            yield f"{label} is sent", rest._replace(sent=rest.sent | {label})
            yield f"{label} is claimed, its worker killed", rest
        for label in state.sent:
            rest = state._replace(sent=state.sent - {label})
            yield f"{label} is lost", rest
            if label == self.label(state):
                done = rest._replace(left=False, hands=min(HANDS, state.hands + 1))
                yield f"{label} is done", self.close(self.move(done))
        if state.stage == BAKING and not state.baked:
            yield "the bake is over", state._replace(baked=True)
        yield from self._people(state)

    def _people(self, state: State) -> Iterator[tuple[str, State]]:
        more = min(HANDS, state.hands + 1)
        if state.stage == UNDOING:
            return
        if state.holds and not state.held:
            yield "held", self.close(state._replace(held=True, holds=state.holds - 1))
        if state.held:
            free = state._replace(held=False, hands=more)
            if state.stage == WAITING and self.gate:
                free = free._replace(stage=BAKING, baked=True)
            yield "promoted", self.close(self.move(free), asked_anew=False)
        if state.cancels:
            undone = state._replace(
                stage=UNDOING, left=True, held=False, hands=more, cancels=state.cancels - 1
            )
            yield "cancelled", self.close(undone, asked_anew=False)


SOUND = [
    Publishing(waves=3),
    Publishing(bake=True, holds=1),
    Publishing(bake=True, gate=True, holds=2),
    Publishing(gate=True, auto_hold=True, holds=1),
]
LARGE = [Publishing(waves=3, gate=True, auto_hold=True, holds=1)]
NAIVE = {
    "nobody sweeps": (Publishing(sweep=False), "STUCK"),
    "known by its phase alone": (Publishing(label_names_wave=False), "LATE"),
    "a claim that marks nothing": (Publishing(claim_marks=False), "TWICE"),
    "a promote and a cancel that leave alone when the sweep looks": (
        Publishing(auto_hold=True, due_of_record=False),
        "LATE",
    ),
    "patience in a bake and in a hold": (Publishing(bake=True, patience_needs_work=False), "POLLED"),
}
"""Rules that do without one thing, and the promise that each breaks."""
