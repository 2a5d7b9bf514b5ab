"""Calls to Redis and to hosts, in whatever order threads make them and wherever they are interrupted."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.worker.hosts import direct, guard
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record import batch
from lockstep.worker.record.batch import Arguments, Kind
from tests.unit import schedules
from tests.unit.schedules import Check, Schedule, Wrong, explore

SECONDS = 15.0
"""Within which a known fault must be found, on a busy machine."""
BEGIN: Kind = ("begin", OperationId("op-1"))


class Flawed:
    """How transitions were gathered once: whoever comes first sends for all, and hands the lead to the next.

    Its fault: `leads` is set under the lock and read after it; in between, another thread may set it as well.
    """

    def __init__(self, send: batch.Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[SimpleNamespace] = []
        self._sending = False

    def run(self, kind: Kind, arguments: Arguments) -> object:
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
    make: Callable[[batch.Send], Any], callers: int, *, interrupts: bool = False
) -> schedules.Scenario:
    """Let threads ask at the same time; each must get its own reply, unless it is interrupted."""

    def scenario(schedule: Schedule) -> Check:
        def send(calls: Mapping[Kind, Sequence[Arguments]]) -> dict[Kind, Sequence[object] | Exception]:
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


@pytest.mark.parametrize(("callers", "interrupts"), [(2, False), (3, False), (2, True)])
def test_gathered_calls_each_get_their_reply(callers: int, interrupts: bool) -> None:
    tried = explore(asking(batch.Gathering, callers, interrupts=interrupts), [batch])
    assert tried.complete >= 0


def test_a_connection_is_taken_by_one_call_at_a_time() -> None:
    def scenario(schedule: Schedule) -> Check:
        idle = direct.Idle(1)
        key: direct.Key = ("http", "node1", False, None)
        users: dict[object, int] = {}
        made: list[SimpleNamespace] = []

        def call() -> None:
            connection: Any = idle.take(key)
            if connection is None:
                connection = SimpleNamespace(sock=None, closed=False)
                connection.close = lambda: setattr(connection, "closed", True)
                made.append(connection)
            assert not connection.closed
            users[id(connection)] = users.get(id(connection), 0) + 1
            schedule.point()
            assert users[id(connection)] == 1
            users[id(connection)] = 0
            idle.keep(key, connection)

        def twice() -> None:
            call()
            call()

        for _ in range(2):
            schedule.thread(twice)

        def check() -> None:
            assert [each.closed for each in made].count(False) == 1, "one is kept, none is left open"

        return check

    explore(scenario, [direct])


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which sockets were shut down; names stand for them."""
    names: list[str] = []
    sockets = SimpleNamespace(shutdown=lambda name, how: names.append(name))
    monkeypatch.setattr(guard, "socket", SimpleNamespace(socket=sockets, SHUT_RDWR=socket.SHUT_RDWR))
    return names


def call_over(schedule: Schedule, dog: guard.Watchdog, name: str, takes: float) -> None:
    """Make a call that may take 5 s."""
    call = guard.Call(schedule.now + 5.0, lambda: True)
    dog.watch(call, cast(socket.socket, name))
    schedule.block(lambda: False, takes)
    dog.leave(call)
    assert call.expired is (takes > 5.0)


def test_the_watchdog_ends_the_overlong_call_and_no_other(shut: list[str]) -> None:
    def scenario(schedule: Schedule) -> Check:
        dog = guard.Watchdog()
        shut.clear()
        schedule.thread(call_over, schedule, dog, "quick", 1.0)
        schedule.thread(call_over, schedule, dog, "slow", 9.0)

        def check() -> None:
            assert shut == ["slow"]

        return check

    explore(scenario, [guard])


def test_the_watch_over_a_call_that_was_interrupted_does_not_end_the_next(shut: list[str]) -> None:
    def scenario(schedule: Schedule) -> Check:
        dog = guard.Watchdog()
        shut.clear()

        def call_and_call_again() -> None:
            try:
                call_over(schedule, dog, "kept", 4.0)
            finally:
                call_over(schedule, dog, "kept", 4.0)

        schedule.thread(call_and_call_again, hears_signals=True)
        schedule.thread(call_over, schedule, dog, "other", 2.0)

        def check() -> None:
            assert shut == []

        return check

    explore(scenario, [guard])
