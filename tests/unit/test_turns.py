"""No more calls than the caps allow, in order, the pressed ones first; and no write leaves too late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tests.unit.client import ATTEMPT, G
from tests.waiting import eventually
from worker.calling import Capped, Turns
from worker.clock import SystemClock
from worker.operation.answer import ProbeAnswer, Probed, WriteAnswer, Wrote
from worker.operation.model import Action, AttemptId, GroupId, HostName, Presence, Seen
from worker.operation.ports import Crowded, Stopping

NODE1, NODE2, NODE3 = (HostName(f"node{n}") for n in (1, 2, 3))
PATIENCE = 20.0
ABSENT = ProbeAnswer(Probed.SEEN, "404", Seen(Presence.ABSENT))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


class Line:
    """Callers of one Turns, each in a thread; who got a turn is kept in order."""

    def __init__(self, turns: Turns, pool: ThreadPoolExecutor) -> None:
        self.turns = turns
        self.pool = pool
        self.served: list[str] = []

    def join(self, who: str, host: HostName = NODE1, *, pressed: bool = False) -> Future[bool]:
        """Ask for a turn; return once the caller has it or stands in the line."""
        waiting = self._waiting()

        def call() -> bool:
            got = self.turns.take(host, PATIENCE, pressed=pressed)
            self.served.append(who)
            return got

        future = self.pool.submit(call)
        eventually(lambda: future.done() or self._waiting() > waiting, "it is done or waits")
        return future

    def has_served(self, number: int) -> bool:
        return len(self.served) == number

    def _waiting(self) -> int:
        return len(self.turns._pressed) + len(self.turns._others)


def test_no_more_than_so_many_calls_in_all(pool: ThreadPoolExecutor) -> None:
    line = Line(Turns(2, None), pool)
    first, second, third = (line.join(str(n), host) for n, host in enumerate((NODE1, NODE2, NODE3)))
    assert first.result(PATIENCE)
    assert second.result(PATIENCE)
    assert not third.done()
    line.turns.give_back(NODE1)
    assert third.result(PATIENCE)


def test_no_more_than_so_many_calls_to_one_host(pool: ThreadPoolExecutor) -> None:
    line = Line(Turns(None, 1), pool)
    assert line.join("first").result(PATIENCE)
    second = line.join("second")
    assert line.join("other host", NODE2).result(PATIENCE), "another host's line is its own"
    assert not second.done()
    line.turns.give_back(NODE2)
    assert not second.done()
    line.turns.give_back(NODE1)
    assert second.result(PATIENCE)


def test_who_comes_first_is_served_first_and_the_pressed_before_all(pool: ThreadPoolExecutor) -> None:
    line = Line(Turns(1, None), pool)
    line.join("now").result(PATIENCE)
    waiting = [line.join("a"), line.join("b", NODE2)]
    waiting += [line.join("pressed", NODE3, pressed=True), line.join("pressed too", NODE2, pressed=True)]
    for served, host in enumerate((NODE1, NODE3, NODE2, NODE1), 2):
        line.turns.give_back(host)
        eventually(partial(line.has_served, served), "its turn has come")
    assert all(each.result(PATIENCE) for each in waiting)
    assert line.served == ["now", "pressed", "pressed too", "a", "b"]


def test_who_waits_for_a_busy_host_holds_up_nobody_else(pool: ThreadPoolExecutor) -> None:
    line = Line(Turns(2, 1), pool)
    line.join("one").result(PATIENCE)
    stuck = line.join("stuck", pressed=True)
    assert line.join("two", NODE2).result(PATIENCE)
    three = line.join("three", NODE3)
    line.turns.give_back(NODE2)
    assert three.result(PATIENCE)
    assert not stuck.done()
    line.turns.give_back(NODE1)
    assert stuck.result(PATIENCE)


def test_whoever_gives_up_leaves_the_line(pool: ThreadPoolExecutor) -> None:
    turns = Turns(1, None)
    assert turns.take(NODE1, 0, pressed=False)
    assert not turns.take(NODE2, 0.01, pressed=False)
    assert not turns.take(NODE2, -1.0, pressed=True)
    turns.give_back(NODE1)
    assert turns.take(NODE3, 0, pressed=False)


def test_the_caps_hold_under_many_threads(pool: ThreadPoolExecutor) -> None:
    turns, lock = Turns(5, 2), threading.Lock()
    calls: list[HostName] = []
    most, most_per_host = 0, 0

    def call(number: int) -> None:
        nonlocal most, most_per_host
        host = (NODE1, NODE2, NODE3)[number % 3]
        for _ in range(50):
            assert turns.take(host, PATIENCE, pressed=number % 2 == 0)
            with lock:
                calls.append(host)
                most, most_per_host = max(most, len(calls)), max(most_per_host, calls.count(host))
            with lock:
                calls.remove(host)
            turns.give_back(host)

    for each in [pool.submit(call, number) for number in range(30)]:
        each.result(PATIENCE)
    assert (most, most_per_host) <= (5, 2)
    assert (turns._calls, turns._calls_by_host) == (0, {})


class Node:
    """A host that answers when it may."""

    fingerprint = "print"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.written = 0

    def probe(self, group: GroupId) -> ProbeAnswer:
        if self.error is not None:
            raise self.error
        return ABSENT

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        self.written += 1
        return WriteAnswer(Wrote.APPLIED, "201")


def capped(node: Node, turns: Turns) -> Capped:
    return Capped(node, NODE1, turns, SystemClock(), 0.01, pressed=False)


def test_a_look_that_does_not_get_its_turn_tells_nothing_of_the_host() -> None:
    turns = Turns(1, None)
    host = capped(Node(), turns)
    turns.take(NODE2, 0, pressed=False)
    with pytest.raises(Crowded):
        host.probe(G)
    turns.give_back(NODE2)
    assert host.probe(G) is ABSENT


def test_a_write_waits_no_longer_than_it_may_be_sent() -> None:
    node, turns, clock = Node(), Turns(1, None), SystemClock()
    turns.take(NODE2, 0, pressed=False)
    said = capped(node, turns).write(Action.CREATE, G, ATTEMPT, clock.elapsed() + 0.02)
    assert said.wrote is Wrote.NOT_APPLIED
    assert said.text == "too late to send: max_calls or max_calls_per_host are under way"
    assert node.written == 0


class Asked(Turns):
    """Keeps how long each caller would have waited, and lets nobody call."""

    def __init__(self) -> None:
        super().__init__(1, None)
        self.waits: list[tuple[float, bool]] = []

    def take(self, host: HostName, patience: float, *, pressed: bool) -> bool:
        self.waits.append((patience, pressed))
        return False


class Noon(SystemClock):
    """A clock that stands still."""

    def elapsed(self) -> float:
        return 1000.0


@pytest.mark.parametrize("pressed", [True, False])
def test_writes_are_always_pressed_and_wait_until_they_are_too_late(pressed: bool) -> None:
    turns = Asked()
    host = Capped(Node(), NODE1, turns, Noon(), 7.0, pressed)
    host.write(Action.CREATE, G, ATTEMPT, 1003.0)
    with pytest.raises(Crowded):
        host.probe(G)
    assert turns.waits == [(3.0, True), (7.0, pressed)]


def test_a_write_that_gets_its_turn_is_sent(pool: ThreadPoolExecutor) -> None:
    node, turns, clock = Node(), Turns(1, None), SystemClock()
    turns.take(NODE2, 0, pressed=False)
    sent = pool.submit(capped(node, turns).write, Action.CREATE, G, ATTEMPT, clock.elapsed() + PATIENCE)
    eventually(lambda: len(turns._pressed) == 1, "one presses")
    turns.give_back(NODE2)
    assert sent.result(PATIENCE).wrote is Wrote.APPLIED


def test_the_turn_is_given_back_whatever_comes_of_the_call() -> None:
    node, turns = Node(), Turns(1, None)
    host = capped(node, turns)
    node.error = Stopping()
    with pytest.raises(Stopping):
        host.probe(G)
    node.error = None
    assert host.probe(G) is ABSENT
    assert turns._calls == 0
