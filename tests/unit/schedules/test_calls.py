"""Calls to Redis and to hosts, in whatever order threads make them and wherever they are interrupted."""

from __future__ import annotations

import os
import random
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.worker.connection import primary as pool
from lockstep.worker.hosts import curl
from lockstep.worker.operation.model import OperationId
from lockstep.worker.process import greenlets
from lockstep.worker.record import scripts
from lockstep.worker.record.scripts import Arguments, CallKind
from tests.unit import schedules
from tests.unit.schedules import Check, Schedule, Wrong, explore
from tests.unit.schedules.primitives import Primitives

SECONDS = 15.0
"""Within which a known fault must be found, on a busy machine."""
BEGIN: CallKind = ("begin", OperationId("op-1"))


class Flawed:
    """How transitions were gathered once: whoever comes first sends for all, and hands the lead to the next.

    Its fault: `leads` is set under the lock and read after it; in between, another thread may set it as well.
    """

    def __init__(self, send: scripts.Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[SimpleNamespace] = []
        self._sending = False

    def run(self, kind: CallKind, arguments: Arguments) -> object:
        call = SimpleNamespace(asks=(kind, arguments), leads=False, served=False, turn=threading.Lock())
        call.turn.acquire()
        with self._lock:
            self._waiting.append(call)
            call.leads = not self._sending
            self._sending = True
        if not call.leads:
            call.turn.acquire()
        if not call.served:
            self._serve()
        return call.reply

    def _serve(self) -> None:
        try:
            with self._lock:
                calls, self._waiting = self._waiting, []
            for call in calls:
                kind, arguments = call.asks
                call.reply = self._send({kind: [arguments]})[kind][0]  # type: ignore[index]
        finally:
            for call in calls:
                call.served = True
                call.turn.release()
            with self._lock:
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].turn.release()
                else:
                    self._sending = False


def asking(
    make: Callable[[scripts.Send], Any], callers: int, *, interrupts: bool = False
) -> schedules.Scenario:
    """Let threads ask at the same time; each must get its own reply, unless it is interrupted."""

    def scenario(schedule: Schedule) -> Check:
        def send(
            calls: Mapping[CallKind, Sequence[Arguments]],
        ) -> dict[CallKind, Sequence[object] | Exception]:
            schedule.point()
            return {kind: list(same) for kind, same in calls.items()}

        gathered = make(send)
        heard: dict[int, object] = {}

        def ask(number: int) -> None:
            heard[number] = gathered.run(BEGIN, (number,))

        for number in range(callers):
            schedule.thread(ask, number, hears_signals=interrupts and number == 0)

        def check() -> None:
            wanted = {number: (number,) for number in range(callers)}
            if interrupts:
                heard.setdefault(0, (0,))
            assert heard == wanted

        return check

    return scenario


@pytest.mark.parametrize("interrupts", [False, True])
def test_the_fault_that_once_wedged_a_worker_is_found_within_seconds(interrupts: bool) -> None:
    began = time.monotonic()
    with pytest.raises(Wrong, match=r"release unlocked lock|would wait for ever"):
        explore(asking(Flawed, 2, interrupts=interrupts), [sys.modules[__name__]], most=2000)
    assert time.monotonic() - began < SECONDS


def test_a_schedule_that_failed_fails_again() -> None:
    found = []
    for _ in range(2):
        with pytest.raises(Wrong) as caught:
            explore(asking(Flawed, 2), [sys.modules[__name__]], most=2000)
        found.append(str(caught.value).splitlines()[-1])
    assert found[0] == found[1]


def test_a_thread_that_is_not_of_a_schedule_keeps_what_modules_have_imported() -> None:
    found: list[object] = []

    def look() -> None:
        found.append(vars(pool)["threading"].Timer)

    def scenario(schedule: Schedule) -> None:
        other = threading.Thread(target=look)
        other.start()
        other.join()
        schedule.thread(look)

    explore(scenario, [pool], most=1)
    theirs, ours = found
    assert theirs is threading.Timer is not ours


def test_what_is_random_is_the_same_in_each_schedule_whoever_else_draws() -> None:
    drawn: list[float] = []

    def scenario(schedule: Schedule) -> None:
        def draw() -> None:
            schedule.point()
            drawn.append(vars(pool)["random"].random())

        for _ in drawn:
            random.random()
        schedule.thread(draw)
        schedule.thread(schedule.point)

    assert explore(scenario, [pool]).schedules == len(drawn) > 1
    assert len(set(drawn)) == 1


@pytest.mark.parametrize(("callers", "interrupts"), [(2, False), (3, False), (2, True)])
def test_gathered_calls_each_get_their_reply(callers: int, interrupts: bool) -> None:
    tried = explore(asking(scripts.Batch, callers, interrupts=interrupts), [scripts, greenlets])
    assert tried.complete >= 1, "every schedule with one departure"


@pytest.mark.parametrize("interrupts", [False, True])
def test_a_call_that_is_handed_over_is_never_left_lying(interrupts: bool) -> None:
    def scenario(schedule: Schedule) -> Check:
        loop = curl.Loop()
        loop._bell = heard, _ = os.pipe()
        rings = select.poll()
        rings.register(heard, select.POLLIN)
        carried: list[object] = []
        calls: list[Any] = [object(), object(), object()]
        # Who is interrupted waits for nothing more; the other does.
        wanted = set(calls[2:] if interrupts else calls)

        def hand_over(*mine: Any) -> None:
            for call in mine:
                loop._give(call)

        def carry() -> None:
            while not wanted <= set(carried):
                schedule.block(lambda: bool(rings.poll(0)), 60.0)
                assert rings.poll(0), "a call lies there, and nobody rings"
                carried.extend(loop._taken())

        schedule.thread(hand_over, *calls[:2], hears_signals=interrupts)
        schedule.thread(hand_over, calls[2])
        schedule.thread(carry)

        def check() -> None:
            for end in loop._bell:
                os.close(end)
            assert wanted <= set(carried)

        return check

    explore(scenario, [curl])


class Connection:
    """What a pool has of a connection to Redis."""

    pid = os.getpid()
    is_connected = False

    def __init__(self, **_: object) -> None:
        self.closed_in_use = False
        self.used = False

    def disconnect(self) -> None:
        self.closed_in_use |= self.used

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **_: False


def test_a_pool_closes_what_is_idle_and_nothing_that_is_used() -> None:
    def scenario(schedule: Schedule) -> Check:
        asked: Any = pool.Pool(connection_class=cast(Any, Connection), max_connections=1)
        asked._lock = Primitives(schedule).threading.RLock()
        used: list[Connection] = []

        def ask() -> None:
            for _ in range(2):
                connection = asked.get_connection()
                connection.used = True
                schedule.point()
                connection.used = False
                used.append(connection)
                asked.release(connection)
                schedule.block(lambda: False, pool.IDLE)  # just when it is to be closed

        schedule.thread(ask)
        schedule.thread(ask)

        def check() -> None:
            kept = [*asked._available_connections, *asked._in_use_connections]
            # The timer may be in the middle of its work when the others have ended.
            assert asked._lock.held or asked._created_connections == len(kept) <= 1
            assert len(used) == 4
            assert not any(each.closed_in_use for each in used)

        return check

    explore(scenario, [pool])
