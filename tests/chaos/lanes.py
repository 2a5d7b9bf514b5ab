"""When each nemesis has its turn: by how many operations were accepted, so that none comes too late."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.chaos.nemeses import Nemesis

SPREAD = 0.9
"""The last nemesis begins before so many of the operations were accepted."""
SLACK = 15
"""Operations by which the clients may be ahead of the schedule."""
LOOK = 0.05
AGAIN = 120.0
"""Seconds for which a nemesis that found nothing to harm tries again: Redis may have been away just then."""
MORE = 60
"""Operations beyond the planned that there may be, for a nemesis that finds none to harm."""


@dataclass(frozen=True, slots=True)
class Event:
    """A nemesis that was, in Unix seconds."""

    lane: str
    kind: str
    began: float
    ended: float
    detail: str


class Lane:
    """Goes through its nemeses, shuffled anew in every pass, one after the other."""

    def __init__(
        self, name: str, nemeses: Mapping[str, Nemesis], passes: int, operations: int, dice: random.Random
    ) -> None:
        self.name = name
        kinds = [kind for _ in range(passes) for kind in dice.sample(list(nemeses), len(nemeses))]
        self.turns = [
            (operations * SPREAD * (place + 0.3) / len(kinds), kind) for place, kind in enumerate(kinds)
        ]
        self._nemeses = nemeses
        self.begun = 0
        self.hungry = False
        """Whether its nemesis has found nothing to harm and tries again."""

    @property
    def next_at(self) -> float:
        """The number of accepted operations at which the next turn comes."""
        return self.turns[self.begun][0] if self.begun < len(self.turns) else float("inf")

    def go(
        self, accepted: Callable[[], int], stopped: threading.Event, keep: Callable[[Event], None]
    ) -> None:
        """Run every turn in its time."""
        for at, kind in self.turns:
            while accepted() < at:
                if stopped.wait(LOOK):
                    return
            self.begun += 1
            began, until = time.time(), time.monotonic() + AGAIN
            while not (detail := self._nemeses[kind]()) and time.monotonic() < until:
                self.hungry = True
                if stopped.wait(LOOK):
                    break
            self.hungry = False
            keep(Event(self.name, kind, began, time.time(), detail))


class Schedule:
    """All lanes, each in a thread."""

    def __init__(
        self,
        lanes: Mapping[str, Mapping[str, Nemesis]],
        passes: int,
        operations: int,
        seed: int,
        accepted: Callable[[], int],
    ) -> None:
        self.events: list[Event] = []
        self.errors: list[BaseException] = []
        self._operations = operations
        self._accepted = accepted
        self._stopped = threading.Event()
        self._lanes = [
            Lane(name, nemeses, passes * _more(nemeses), operations, random.Random(f"{seed}/{name}"))
            for name, nemeses in lanes.items()
        ]
        self._threads = [threading.Thread(target=self._guarded, args=(lane,)) for lane in self._lanes]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether every turn has been, or a lane broke."""
        return not any(thread.is_alive() for thread in self._threads)

    def clients_may_go_on(self) -> bool:
        """Tell whether the clients are not too far ahead of the schedule; they go on for a hungry nemesis."""
        accepted = self._accepted()
        if any(lane.hungry for lane in self._lanes):
            return accepted < self._operations + MORE
        return accepted < self._operations and accepted < min(lane.next_at for lane in self._lanes) + SLACK

    def stop(self) -> None:
        """Begin no further turn; return when those under way have healed."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, lane: Lane) -> None:
        try:
            lane.go(self._accepted, self._stopped, self.events.append)
        except BaseException as error:  # noqa: BLE001 - judged by whoever runs the schedule
            self.errors.append(error)


def _more(nemeses: Mapping[str, Nemesis]) -> int:
    """A lane with a single nemesis that takes no time gives it several turns a pass."""
    return 5 if len(nemeses) == 1 else 1
