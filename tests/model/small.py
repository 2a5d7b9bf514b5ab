"""A plain search for models that are small: every state, and the shortest way to what is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Small(Hashable, Protocol):
    """A state: `broken` says which promise it breaks, if any."""

    @property
    def broken(self) -> str: ...


S = TypeVar("S", bound=Small)


class Model(Protocol[S]):
    """Where it begins, what may happen, and where all is done."""

    def start(self) -> S: ...
    def next(self, state: S) -> Iterator[tuple[str, S]]: ...
    def over(self, state: S) -> bool: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: how many states, and the way to what is wrong."""

    states: int
    wrong: str = ""
    way: tuple[str, ...] = ()


def search(model: Model[S]) -> Found:
    """Visit every state; tell the shortest way to a broken promise, or to where somebody waits for ever."""
    start = model.start()
    came: dict[S, tuple[S, str] | None] = {start: None}
    back: dict[S, list[S]] = {}
    todo, ends = [start], []
    for state in todo:
        if state.broken:
            return Found(len(came), state.broken, _way(came, state))
        for label, each in model.next(state):
            back.setdefault(each, []).append(state)
            if each not in came:
                came[each] = state, label
                todo.append(each)
        if model.over(state):
            ends.append(state)
    good = set(ends)
    for state in ends:
        for before in back.get(state, []):
            if before not in good:
                good.add(before)
                ends.append(before)
    stuck = next((state for state in todo if state not in good), None)
    if stuck is not None:
        return Found(len(came), "STUCK: one waits for ever", _way(came, stuck))
    return Found(len(came))


def _way(came: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    labels: list[str] = []
    while (step := came[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))
