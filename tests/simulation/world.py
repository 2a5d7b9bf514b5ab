"""Simulated time: tasks are greenlets, and whoever waits lets the others run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Any

from greenlet import getcurrent, greenlet

from lockstep.worker.operation.model import Millis
from lockstep.worker.process.greenlets import Handover
from tests.simulation import faults
from tests.simulation.choices import Choices
from tests.simulation.faults import Draw, Row

START = Millis(1_000_000)
USUAL = (0, 0, 0, 1, 1, 1, 2, 3)
WRITES = (0, 0, 1, 1, 2, 2, 3, 3)
"""Which of the tables of a kind is drawn from: writes fail more often, for there are few of them."""


class Killed(BaseException):
    """The process in which this task ran is no more."""


class Violation(AssertionError):
    """Something that must hold does not."""


_idle: list[greenlet] = []
"""Those whose task has ended carry the next one: each has a stack, which is dear to map and unmap."""


def _start(body: Callable[[], None]) -> None:
    task = _idle.pop() if _idle else greenlet(_carry)
    task.switch(body)


def _carry(body: Callable[[], None]) -> None:
    own = getcurrent()
    while True:
        body()
        del body
        _idle.append(own)
        body = own.parent.switch()


class Queue:
    """A queue of the steps of one slice: whoever waits for the next lets simulated time pass."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: deque[object] = deque()
        self._waiting: greenlet | None = None

    def put(self, step: object) -> None:
        """Put one in; whoever waits for it goes on at once."""
        self._ready.append(step)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.switch()

    def get(self) -> object:
        """Return the first, as soon as there is one."""
        if not self._ready:
            self._waiting = getcurrent()
            self._world.stand()
        return self._ready.popleft()


class World:
    """The clock, what is to happen when, and what can go wrong just now."""

    def __init__(self, choices: Choices, tracing: bool) -> None:
        self.choose = choices.choose
        self.now = START
        self.rows: set[Row] = set()
        self.notes: dict[str, int] = {}
        self.tracing = tracing
        self.lines: list[str] = []
        self.epoch = 0
        """Goes up when every worker is killed."""
        self.first_write_strays = False
        self.under_way: list[Any] = []
        """Writes that a host may be at work on."""
        self.healed_at = START
        self.redis_back_at = START
        self.redis_frozen = False
        self.store, self.clock, self.message, self.sweep = (
            kind[0] for kind in (faults.STORE, faults.CLOCK, faults.MESSAGE, faults.SWEEP)
        )
        self.write: Sequence[Draw] = faults.WRITE[0]
        self.looks: Sequence[Draw] = faults.LOOK[0]
        self.slices = 0
        """How many are under way."""
        self.wrong: Violation | None = None
        """Raised by a step of a slice, whose task does not end before all of its steps have."""
        self.look: Callable[[], object] | None = None
        """Told after everything that happens."""
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._count = 0
        self._main = getcurrent()

    def draw_intensities(self) -> None:
        """Choose how much goes wrong, for each kind of call."""
        choose = self.choose
        self.store = faults.STORE[USUAL[choose(8)]]
        self.clock = faults.CLOCK[USUAL[choose(8)]]
        self.write = faults.WRITE[WRITES[choose(8)]]
        self.looks = faults.LOOK[USUAL[choose(8)]]
        self.message = faults.MESSAGE[USUAL[choose(8)]]
        self.sweep = faults.SWEEP[USUAL[choose(8)]]

    def crawl(self) -> None:
        """Let calls to hosts take as long as they may, and some writes land late."""
        self.looks, self.write = faults.CRAWLING, faults.LANDING

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.log("all faults are over")
        self.store, self.clock = faults.STORE[0], faults.CLOCK[0]
        self.write, self.looks = faults.WRITE[0], faults.LOOK[0]
        self.message, self.sweep = faults.MESSAGE[0], faults.SWEEP[0]
        self.redis_back_at = self.healed_at = self.now

    def log(self, *words: object) -> None:
        """Note what happens, for whoever reads a failing schedule."""
        if self.tracing:
            self.lines.append(f"{(self.now - START) / 1000:10.3f}  {' '.join(map(str, words))}")

    def hit(self, row: Row) -> None:
        """Count that a row of the fault table has come to pass."""
        self.rows.add(row)

    def note(self, what: str) -> None:
        """Count something that is not judged."""
        self.notes[what] = self.notes.get(what, 0) + 1

    def at(self, when: int, do: Callable[[], object]) -> None:
        """Let something happen at a time; among those of one time, first come, first served."""
        self._count += 1
        heappush(self._heap, (when, self._count, do))

    def spawn(self, body: Callable[[], None], delay: int = 0) -> None:
        """Start a task of its own."""
        self.at(self.now + delay, partial(_start, body))

    def sleep(self, ms: int) -> None:
        """Let time pass for the task that calls; others run meanwhile."""
        until = self.now + ms
        if (
            self.slices and getcurrent().parent is not self._main
        ):  # a step of a slice: the others have their turns
            turn: Handover[None] = Handover()
            self.at(until, partial(turn.bring, None))
            turn.wait()
        elif self._heap and self._heap[0][0] <= until:
            self.at(until, getcurrent().switch)
            self._main.switch()
        else:
            self.now = Millis(until)

    def queue(self) -> Queue:
        """What the steps of a slice whose waits are over stand in."""
        return Queue(self)

    def stand(self) -> None:
        """Have the task that calls stand still until another switches to it."""
        self._main.switch()

    @property
    def idle(self) -> bool:
        """True when nothing is left to happen but the next sweep."""
        return len(self._heap) <= 1

    @property
    def next_at(self) -> float:
        """When the next thing is to happen; infinite when nothing is."""
        return self._heap[0][0] if self._heap else inf

    def run(self, done: Callable[[], bool], limit: int) -> bool:
        """Let everything happen until only the beat is left and all is `done`; False past the limit."""
        heap = self._heap
        while heap:
            when, _, do = heappop(heap)
            if when > limit:
                return False
            if when > self.now:
                self.now = Millis(when)
            do()
            if self.wrong is not None:
                raise self.wrong
            if self.look is not None:
                self.look()
            if len(heap) <= 1 and done():
                return True
        return done()
