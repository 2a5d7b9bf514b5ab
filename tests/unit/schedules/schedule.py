"""One run of a scenario, in one order of its threads."""

from __future__ import annotations

import itertools
import linecache
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

INTERRUPT = -1
ENDLESS = 20_000
"""Steps after which a schedule counts as one that never ends."""
PATIENCE = 20.0
"""Seconds for a run on a busy machine."""
Forced = tuple[tuple[int, int], ...]
"""What is done at which steps, instead of going on: another thread's number, or INTERRUPT."""


class Interrupted(BaseException):
    """What a signal handler raised in the thread that hears signals."""


class Wrong(AssertionError):
    """A schedule in which something went wrong, and what."""


class _Over(BaseException):
    """Ends a thread whose schedule is over."""


@dataclass(eq=False)
class Controlled:
    number: int
    name: str
    work: Callable[[], object]
    daemon: bool
    hears_signals: bool = False
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ready: Callable[[], bool] | None = None
    """While it waits, whether it need not any more."""
    until: float | None = None
    ended: bool = False
    interrupted: bool = False

    def can_go(self, now: float) -> bool:
        if self.ended:
            return False
        return (
            self.ready is None
            or self.interrupted
            or (self.until is not None and now >= self.until)
            or self.ready()
        )


class Schedule:
    """One run of a scenario, in one order."""

    def __init__(self, files: frozenset[str], forced: Forced) -> None:
        self.now = 1000.0
        """Seconds; what the modules under test take for time."""
        self.choices: list[tuple[int, int]] = []
        """What else could have been done: step and action."""
        self.told: list[str] = []
        self._files = files
        self._forced = dict(forced)
        self._last = forced[-1][0] if forced else -1
        self._interrupts = any(action == INTERRUPT for _, action in forced)
        self._steps = itertools.count()
        self._threads: list[Controlled] = []
        self._started: list[threading.Thread] = []
        self._own = threading.local()
        self._maker = threading.get_ident()
        self._over = False
        self._finished = threading.Event()
        self._wrong: BaseException | None = None

    # What scenarios call.

    def thread(self, work: Callable[..., object], *args: object, hears_signals: bool = False) -> None:
        """Add a thread; the run lasts until all of these have ended. What it raises is wrong."""
        self._spawn(f"thread {len(self._threads)}", lambda: work(*args), hears_signals=hears_signals)

    # What the primitives call.

    def point(self, *, python: bool = False) -> None:
        """Let another thread run here, if the schedule says so; in Python code, an interrupt can come."""
        if (me := self._me()) is not None:
            if sys.gettrace() is None:
                self._trace_again(sys._getframe())
            self._choose(me, "in the library" if python else "", sys._getframe(1) if python else None)

    def block(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `ready`, or for so many seconds; tell whether it is."""
        me = self._me()
        if me is None:
            assert ready() or timeout is not None, "what sets a scenario up would wait for ever"
            return ready()
        me.ready, me.until = ready, None if timeout is None else self.now + timeout
        try:
            self._choose(me, "waits")
        finally:
            me.ready = me.until = None
        return ready()

    def spawn(self, name: str, work: Callable[[], object]) -> Controlled:
        """Start a thread that the code under test asks for; nobody waits for its end."""
        return self._spawn(name, work, daemon=True)

    # The run.

    def run(self) -> None:
        """Run all threads to their ends. Raises Wrong."""
        first = next((thread for thread in self._threads), None)
        if first is not None:
            first.turn.release()
            if not self._finished.wait(PATIENCE):
                raise Wrong("a thread waits for something that the schedule does not know")
        if self._wrong is not None:
            raise self._wrong

    def end(self) -> None:
        """End the threads that stand where the run left them: the next run is to be alone in the process."""
        self._over = True
        for thread in self._threads:
            thread.turn.release()
        for started in self._started:
            started.join(PATIENCE)

    def _spawn(
        self, name: str, work: Callable[[], object], *, daemon: bool = False, hears_signals: bool = False
    ) -> Controlled:
        thread = Controlled(len(self._threads), name, work, daemon, hears_signals)
        self._threads.append(thread)
        self._started.append(threading.Thread(target=self._live, args=(thread,), daemon=True))
        self._started[-1].start()
        return thread

    def _live(self, thread: Controlled) -> None:
        thread.turn.acquire()
        self._own.thread = thread
        try:
            if not self._over:
                sys.settrace(self._trace)
                thread.work()
        except (_Over, Interrupted):
            pass
        except BaseException as error:  # noqa: BLE001 - told by the run
            self._fail(f"{thread.name} raised {error!r}\n{traceback.format_exc()}")
        finally:
            sys.settrace(None)
            thread.ended = True
            self._own.thread = None
            if not self._over:
                self._hand_over(thread)

    def is_mine(self) -> bool:
        """Whether the calling thread is one of this run, or makes it."""
        return getattr(self._own, "thread", None) is not None or threading.get_ident() == self._maker

    def _me(self) -> Controlled | None:
        me: Controlled | None = getattr(self._own, "thread", None)
        if me is not None and self._over:
            raise _Over
        return me

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" and (me := self._me()) is not None:
            self._choose(me, f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}", frame)  # noqa: PTH119
        return self._line

    def _trace_again(self, frame: FrameType | None) -> None:
        """What a trace function raises ends the tracing of its thread."""
        sys.settrace(self._trace)
        while frame is not None:
            if frame.f_code.co_filename in self._files:
                frame.f_trace = self._line
            frame = frame.f_back

    def _choose(self, me: Controlled, where: str, frame: FrameType | None = None) -> None:
        """Decide who goes on; return when it is this thread again."""
        step = next(self._steps)
        if step > ENDLESS:
            self._fail(f"{me.name} never ends: {where}")
            raise _Over
        goes_on = me.can_go(self.now)
        action = self._forced.get(step)
        if action is None and step > self._last:
            self._note(step, me, frame)
        if action == INTERRUPT:
            heard = next(thread for thread in self._threads if thread.hears_signals)
            self.told.append(f"{step}: interrupt in {heard.name} at {where}")
            if heard is me:
                raise Interrupted
            heard.interrupted = True
            self._switch(me, heard)
        elif action is not None:
            assert self._threads[action].can_go(self.now), (
                "not the same twice: what is under test is not deterministic"
            )
            self.told.append(f"{step}: {me.name} {where} -> {self._threads[action].name}")
            self._switch(me, self._threads[action])
        elif not goes_on:
            self._hand_over(me)
        if me.interrupted:
            me.interrupted = False
            raise Interrupted

    def _note(self, step: int, me: Controlled, frame: FrameType | None) -> None:
        for thread in self._threads:
            if thread is not me and thread.can_go(self.now):
                self.choices.append((step, thread.number))
        if self._interrupts:
            return
        heard = next((thread for thread in self._threads if thread.hears_signals), None)
        if heard is None or heard.ended:
            return
        if heard is me:
            # Python raises nothing between a `with` and its block, nor between the block and its end.
            line = "" if frame is None else _source(frame)
            if (frame is not None and not line.startswith("with ")) or me.ready is not None:
                self.choices.append((step, INTERRUPT))
        elif heard.ready is not None and not heard.can_go(self.now):
            self.choices.append((step, INTERRUPT))

    def _hand_over(self, me: Controlled) -> None:
        """Let the next thread run that can; let time pass if there is none."""
        while True:
            if all(thread.ended for thread in self._threads if not thread.daemon):
                self._finish(me)
                return
            around = self._threads[me.number + 1 :] + self._threads[: me.number + 1]
            found = next((thread for thread in around if thread.can_go(self.now)), None)
            if found is not None:
                if found is not me:
                    self._switch(me, found)
                return
            ends = [thread.until for thread in self._threads if not thread.ended and thread.until is not None]
            if not ends:
                waiting = [t.name for t in self._threads if not t.ended and not t.daemon]
                self._fail(f"{', '.join(waiting)} would wait for ever")
                self._finish(me)
                return
            self.now = max(self.now, min(ends))

    def _switch(self, me: Controlled, other: Controlled) -> None:
        other.turn.release()
        if me.ended:
            return
        me.turn.acquire()
        if self._over:
            raise _Over

    def _finish(self, me: Controlled) -> None:
        self._finished.set()
        if not me.ended:
            me.turn.acquire()
            raise _Over

    def _fail(self, what: str) -> None:
        if self._wrong is None:
            self._wrong = Wrong(what)
        self._finished.set()


def _source(frame: FrameType) -> str:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
