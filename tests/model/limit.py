"""The limit that all workers share, in a model of its own: who may write to one host, and who wakes whom.

A task asks the host (`look`), then the record (`begin`), which opens its write or has it wait in a line. Time
is not counted: what is bounded by time may happen at any moment. The rate, one script, is not modelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NEW, LOOKED, ASLEEP, CALLED, LOST, WRITING, DONE = range(7)
"""Of a task: its message is on its way; it has asked the host; it waits in the line; it was called, and a
place is kept for it; its message is gone; its write is under way; it is over."""
NOTHING, KEPT, USED, QUIET, OVER = range(5)
"""Of its place: none; kept until it comes; its write is in a worker's hands; in nobody's; for so long that by
A1 a host that answers a look sent now is through with it."""


BEHIND = "BEHIND: undo waits while forward work goes on"


class Task(NamedTuple):
    """One write of one operation."""

    undo: bool
    at: int = NEW
    place: int = NOTHING
    asked: int = 0
    """The how manieth to ask; 0 if it has not."""
    at_host: bool = False
    """The host works on its write."""
    sees: frozenset[int] = frozenset()
    """Whose places were over when its look was sent."""
    lined: bool = False
    """It stands in the line."""
    late: bool = False
    """It was called, and did not come in time: it has lost its turn, not its rank."""

    def before(self, other: Task) -> bool:
        """Whether it goes first: undo before forward, then by age."""
        return (not self.undo, self.asked) < (not other.undo, other.asked)


class State(NamedTuple):
    """All tasks, what may still go wrong, and what has."""

    tasks: tuple[Task, ...]
    losses: int
    cancels: int
    broken: str = ""

    def put(self, number: int, **change: object) -> State:
        """Change one task."""
        task = self.tasks[number]._replace(**change)  # type: ignore[arg-type]
        return self._replace(tasks=(*self.tasks[:number], task, *self.tasks[number + 1 :]))


@dataclass(frozen=True, slots=True)
class Limit:
    """One configuration; each rule that is switched off makes a naive one."""

    places: int
    undo: tuple[bool, ...]
    """Of each task."""
    hold_until_through: bool = True
    """A write that nobody waits for any more keeps its place."""
    by_a_look: bool = True
    """Such a place is free only once the host has answered a look that was sent when it was over."""
    line: bool = True
    """Whoever finds no place waits in a line; without one whoever asks when a place is free takes it."""
    undo_first: bool = True
    own_place: bool = True
    """Of several places one is for undo alone."""
    yields: bool = True
    """A place kept for forward work that has not come yet goes to an undo."""
    first_wakes: bool = True
    """The first of the line wakes by itself when a place may be over."""
    drop_decided: bool = True
    """Who is decided leaves the line."""
    losses: int = 1
    cancels: int = 1

    def start(self) -> State:
        """Nobody has asked yet."""
        return State(tuple(Task(undo) for undo in self.undo), self.losses, self.cancels)

    def over(self, state: State) -> bool:
        """Whether all have come to their end."""
        return all(task.at == DONE for task in state.tasks)

    def free(self, state: State, undo: bool) -> bool:
        """Whether there is a place for another write of this sort."""
        own = int(self.own_place and self.places > 1 and not undo)
        return sum(task.place != NOTHING for task in state.tasks) < self.places - own

    def in_line(self, state: State) -> list[int]:
        """Who stands in the line, the first first."""

        def rank(number: int) -> tuple[bool, int]:
            task = state.tasks[number]
            return self.undo_first and not task.undo, task.asked

        return sorted((n for n, each in enumerate(state.tasks) if each.lined), key=rank)

    def call(self, state: State) -> State:
        """Keep free places for the first of the line, and call them."""
        while line := self.in_line(state):
            first = state.tasks[line[0]]
            if first.at == DONE:
                break
            if not self.free(state, first.undo):
                kept = [n for n, each in enumerate(state.tasks) if each.place == KEPT and not each.undo]
                if not (first.undo and self.yields and kept):
                    break
                state = state.put(kept[-1], place=NOTHING, late=True)
            at = CALLED if first.at == ASLEEP else first.at
            state = state.put(line[0], at=at, place=KEPT, lined=False)
        return state

    def _then_call(self, state: State) -> State:
        return self.call(state) if self.line else state

    def next(self, state: State) -> Iterator[tuple[str, State]]:
        """What may happen."""
        for n, task in enumerate(state.tasks):
            for label, after in self._of(state, n, task):
                yield f"task{n} {'undo' if task.undo else 'forward'}: {label}", after
        line = self.in_line(state)
        if line and state.tasks[line[0]].at == ASLEEP and self.first_wakes:
            over = any(task.place == OVER for task in state.tasks)
            if over or self.free(state, state.tasks[line[0]].undo):
                yield f"task{line[0]}: wakes by itself", state.put(line[0], at=NEW)
        if not self.line:
            for n, task in enumerate(state.tasks):
                if task.at == ASLEEP:
                    yield f"task{n}: asks again", state.put(n, at=NEW)

    def _of(self, state: State, n: int, task: Task) -> Iterator[tuple[str, State]]:
        if task.at in (NEW, CALLED):
            over = frozenset(m for m, each in enumerate(state.tasks) if each.place == OVER)
            if not any(state.tasks[m].at_host for m in over):  # A1: or it does not answer
                yield "look", state.put(n, at=LOOKED, sees=over)
            if state.losses:
                yield "message lost", state.put(n, at=LOST)._replace(losses=state.losses - 1)
        if task.at == LOST:
            yield "sent again by the sweep", state.put(n, at=NEW)
        if task.place == KEPT:
            yield "kept place lapses", state.put(n, place=NOTHING, late=True)
        if task.at == LOOKED:
            yield self._begin(state, n)
        if task.at in (ASLEEP, CALLED, LOST) and state.cancels and not task.undo:
            gone = state.put(n, at=DONE, place=NOTHING, lined=task.lined and not self.drop_decided)._replace(
                cancels=state.cancels - 1
            )
            yield "cancelled", self._then_call(gone)
        if task.at == WRITING:
            yield "answered", self._then_call(state.put(n, at=DONE, place=NOTHING, at_host=False, asked=0))
            held = QUIET if self.hold_until_through else NOTHING
            given_up = state.put(n, at=DONE, place=held, asked=0)
            yield "no answer, or killed", self._then_call(given_up)
        if task.place == QUIET:
            yield "its time is over", state.put(n, place=OVER)
        if task.at_host and task.at == DONE:
            yield "the host is through with it", state.put(n, at_host=False)

    def _begin(self, state: State, n: int) -> tuple[str, State]:
        for m, each in enumerate(state.tasks):
            if each.place == OVER and (m in state.tasks[n].sees or not self.by_a_look):
                state = state.put(m, place=NOTHING)
        if not state.tasks[n].asked:
            state = state.put(n, asked=1 + max(each.asked for each in state.tasks))
        if state.tasks[n].place != KEPT:
            if self.line:
                state = self.call(state.put(n, lined=True))
            elif self.free(state, state.tasks[n].undo):
                state = state.put(n, place=KEPT, lined=False)
            if state.tasks[n].place != KEPT:
                if state.tasks[n].undo and self.places > 1 and not self._any_undo(state):
                    return "begin: BUSY", state._replace(broken=BEHIND)
                return "begin: BUSY", state.put(n, at=ASLEEP, sees=frozenset(), lined=True)
        state = state.put(n, at=WRITING, place=USED, at_host=True, sees=frozenset())
        return "begin: SEND", state._replace(broken=self._wrong(state, n))

    def _any_undo(self, state: State) -> bool:
        return any(each.undo and each.place != NOTHING for each in state.tasks)

    def _wrong(self, state: State, n: int) -> str:
        task, others = state.tasks[n], state.tasks
        if sum(each.at_host for each in others) > self.places:
            return "MORE: more writes at the host than its limit"
        waiting = [each for each in others if each.lined and each.before(task)]
        if any(each.undo for each in waiting) and not task.undo:
            return BEHIND
        if any(each.undo == task.undo and not each.late and each.at != DONE for each in waiting):
            return "OVERTAKEN: one that asked later went first"
        return ""


F, U = False, True
SOUND = [Limit(1, (F, F, F)), Limit(1, (F, F, U)), Limit(2, (F, F, U)), Limit(2, (F, U, U))]
LARGE = [Limit(2, (F, F, F, U)), Limit(1, (F, F, U, U)), Limit(3, (F, F, F, U))]
NAIVE = {
    "a place freed when its worker gives up": (Limit(1, (F, F), hold_until_through=False), "MORE"),
    "a place freed by time, without a look": (Limit(1, (F, F), by_a_look=False), "MORE"),
    "no line": (Limit(1, (F, F, F), line=False), "OVERTAKEN"),
    "undo in the order of asking": (Limit(1, (F, F, F, U), undo_first=False, losses=0, cancels=0), "BEHIND"),
    "no place for undo alone": (Limit(2, (F, F, U), own_place=False), "BEHIND"),
    "undo behind a place that is kept": (Limit(1, (F, F, U), yields=False), "BEHIND"),
    "a place that lapses wakes nobody": (Limit(1, (F, F), first_wakes=False, cancels=0), "STUCK"),
    "who is decided stays in the line": (Limit(1, (F, F, F), drop_decided=False), "STUCK"),
}
"""Rules that do without one thing, and the promise that each breaks."""
