"""What many threads ask of the store at once goes out together, and nobody waits for ever."""

from __future__ import annotations

import ast
import gc
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import FrameType, SimpleNamespace

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record import scripts
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.scripts import (
    QUICK,
    Arguments,
    Batch,
    CallKind,
    Replicas,
    Scripts,
    _Call,
    _send_all,
)
from tests.waits import PATIENCE, eventually

SOON = PATIENCE
BEGIN: CallKind = ("begin", OperationId("op-1"))
FINISH: CallKind = ("finish", OperationId("op-1"))


class Wire:
    """Holds the first sending until it is told to let it through; keeps what was sent."""

    def __init__(self, first: BaseException | None = None) -> None:
        self.sent: list[dict[CallKind, list[Arguments]]] = []
        self.reached = threading.Event()
        self.through = threading.Event()
        self._first = first

    def __call__(
        self, calls: Mapping[CallKind, Sequence[Arguments]]
    ) -> dict[CallKind, Sequence[object] | Exception]:
        self.sent.append({kind: list(same) for kind, same in calls.items()})
        if len(self.sent) == 1:
            self.reached.set()
            assert self.through.wait(SOON)
            if self._first is not None:
                raise self._first
        return {kind: [f"{kind[0]} {host}" for (host,) in same] for kind, same in calls.items()}


def ask(pool: ThreadPoolExecutor, gathering: Batch, wire: Wire, wanted: int) -> list[Future[object]]:
    """Ask for one call, and for more while it is on its way; let it through once all of them wait."""
    first = pool.submit(gathering.run, BEGIN, ("host-0",))
    assert wire.reached.wait(SOON)
    others = [
        pool.submit(gathering.run, BEGIN if each % 2 else FINISH, (f"host-{each}",))
        for each in range(1, wanted)
    ]
    until = threading.Event()
    while gathering._calls.qsize() < len(others):
        until.wait(0.001)
    wire.through.set()
    return [first, *others]


def test_what_is_asked_for_meanwhile_goes_out_together_and_each_hears_its_own_reply() -> None:
    wire = Wire()
    gathering = Batch(wire)
    with ThreadPoolExecutor(9) as pool:
        asked = ask(pool, gathering, wire, 9)
        said = [each.result(SOON) for each in asked]
    assert said == ["begin host-0", *(f"{'begin' if n % 2 else 'finish'} host-{n}" for n in range(1, 9))]
    assert len(wire.sent) == 2
    assert {kind: len(same) for kind, same in wire.sent[1].items()} == {BEGIN: 4, FINISH: 4}


@pytest.mark.parametrize(
    ("calls", "age", "lingers"),
    [
        *((1, 0, False), (QUICK - 1, 0, False), (QUICK, 0, True), (QUICK + 1, 0, True)),
        *((QUICK, 0.03, False), (QUICK + 1, 0.03, True)),
    ],
)
def test_only_while_calls_come_in_quickly_others_are_waited_for_and_go_out_with_them(
    monkeypatch: pytest.MonkeyPatch, calls: int, age: float, lingers: bool
) -> None:
    queue: SimpleQueue[_Call | None] = SimpleQueue()

    def comes(host: str) -> None:
        call = _Call(BEGIN, (host,))
        call.asked_at -= age if queue.empty() else 0  # the first alone
        queue.put(call)

    def meanwhile(seconds: float) -> None:
        assert seconds == pytest.approx(0 if age else 0.003)
        comes("late")
        queue.put(None)

    now = time.monotonic()  # a clock that stands: the machine may pause longer than "quickly" is
    monkeypatch.setattr(scripts, "time", SimpleNamespace(sleep=meanwhile, monotonic=lambda: now))
    for number in range(calls):
        comes(f"host-{number}")
    wire = Wire()
    wire.through.set()
    sending = threading.Thread(target=_send_all, args=(queue, wire), daemon=True)
    sending.start()
    eventually(lambda: wire.sent, "all are sent")
    if not lingers:
        queue.put(None)
    sending.join(SOON)
    assert not sending.is_alive()
    assert [len(each[BEGIN]) for each in wire.sent] == [calls + lingers]


def test_an_error_reaches_all_that_were_sent_with_it_and_the_next_goes_through() -> None:
    wire = Wire(StoreUnavailable("away"))
    gathering = Batch(wire)
    with ThreadPoolExecutor(3) as pool:
        first, *others = ask(pool, gathering, wire, 3)
        with pytest.raises(StoreUnavailable, match="away"):
            first.result(SOON)
        assert [each.result(SOON) for each in others] == ["begin host-1", "finish host-2"]


def test_an_error_of_one_kind_is_not_heard_by_the_others() -> None:
    def send(calls: Mapping[CallKind, Sequence[Arguments]]) -> dict[CallKind, Sequence[object] | Exception]:
        return {
            kind: ValueError("refused") if kind == FINISH else ["fine"] * len(same)
            for kind, same in calls.items()
        }

    gathering = Batch(send)
    assert gathering.run(BEGIN, ("host-1",)) == "fine"
    with pytest.raises(ValueError, match="refused"):
        gathering.run(FINISH, ("host-1",))


def test_a_sending_that_breaks_off_is_an_error_to_those_that_were_sent() -> None:
    wire = Wire(SystemExit())
    gathering = Batch(wire)
    with ThreadPoolExecutor(3) as pool:
        first, *others = ask(pool, gathering, wire, 3)
        with pytest.raises(StoreUnavailable, match="interrupted"):
            first.result(SOON)
        assert [each.result(SOON) for each in others] == ["begin host-1", "finish host-2"]


class Interrupt(BaseException):
    """What a signal handler raises."""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let a signal raise an Interrupt in the main thread."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, handle)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_whoever_is_interrupted_while_its_call_is_on_its_way_leaves_nobody_waiting(
    interruptible: None,
) -> None:
    wire = Wire()
    gathering = Batch(wire)
    with ThreadPoolExecutor(2) as pool:

        def interrupt() -> object:
            assert wire.reached.wait(SOON)
            os.kill(os.getpid(), signal.SIGUSR1)
            return gathering.run(FINISH, ("host-1",))

        other = pool.submit(interrupt)
        with pytest.raises(Interrupt):
            gathering.run(BEGIN, ("host-0",))
        wire.through.set()
        assert other.result(SOON) == "finish host-1"
        assert pool.submit(gathering.run, FINISH, ("host-2",)).result(SOON) == "finish host-2"


def test_what_an_interrupted_caller_asked_for_is_not_sent_if_it_was_not_yet(interruptible: None) -> None:
    wire = Wire()
    gathering = Batch(wire)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gathering.run, BEGIN, ("host-0",))
        assert wire.reached.wait(SOON)

        def interrupt() -> None:
            until = threading.Event()
            while not gathering._calls.qsize():
                until.wait(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)

        told = pool.submit(interrupt)
        with pytest.raises(Interrupt):
            gathering.run(BEGIN, ("host-1",))
        told.result(SOON)
        wire.through.set()
        assert first.result(SOON) == "begin host-0"
        assert pool.submit(gathering.run, FINISH, ("host-2",)).result(SOON) == "finish host-2"
    assert wire.sent == [{BEGIN: [("host-0",)]}, {FINISH: [("host-2",)]}]


def test_the_sender_ends_with_what_it_sends_for() -> None:
    wire = Wire()
    wire.through.set()
    gathering = Batch(wire)
    gathering.run(BEGIN, ("host-0",))
    sender = gathering._sender
    assert sender is not None
    del gathering
    sender.join(SOON)
    assert not sender.is_alive()


def test_a_store_that_nobody_holds_has_no_thread() -> None:
    before = set(threading.enumerate())
    client = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    scripts = Scripts(client, Keys("t:"), Replicas("fence", 0, 0))
    with pytest.raises(StoreUnavailable):
        scripts.run("claim", OperationId("op-1"))
    del scripts

    def ended() -> bool:
        gc.collect()  # an error and the frames that it passed hold one another
        return set(threading.enumerate()) <= before

    eventually(ended, "its thread has ended")


def test_a_forked_child_sends_for_its_own_threads(tmp_path: Path) -> None:
    """The fork comes while a call is on its way and another waits; the child has neither, nor a sender."""
    wire = Wire()
    gathering = Batch(wire)
    with ThreadPoolExecutor(2) as pool:
        asked = ask_without_waiting(pool, gathering, wire)
        child = os.fork()
        if child == 0:
            try:
                wire.through.set()
                with ThreadPoolExecutor(2) as own:
                    said = [own.submit(gathering.run, FINISH, (f"child-{n}",)) for n in range(2)]
                    told = [each.result(SOON) for each in said]
                (tmp_path / "said").write_text(repr([told, wire.sent[1:]]))
            finally:
                os._exit(0)
        wait_for(child)
        wire.through.set()
        assert [each.result(SOON) for each in asked] == ["begin host-0", "finish host-1"]
    told, sent = ast.literal_eval((tmp_path / "said").read_text())
    assert told == ["finish child-0", "finish child-1"]
    hosts = sorted(host for calls in sent for same in calls.values() for (host,) in same)
    assert hosts == ["child-0", "child-1"]


def ask_without_waiting(
    pool: ThreadPoolExecutor, gathering: Batch, wire: Wire
) -> tuple[Future[object], Future[object]]:
    """Have one call on its way, and one waiting."""
    first = pool.submit(gathering.run, BEGIN, ("host-0",))
    assert wire.reached.wait(SOON)
    second = pool.submit(gathering.run, FINISH, ("host-1",))
    until = threading.Event()
    while not gathering._calls.qsize():
        until.wait(0.001)
    return first, second


def wait_for(child: int) -> None:
    """Reap a child; one that hangs is killed, and fails the test by what it has not written."""
    ends = time.monotonic() + SOON
    until = threading.Event()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            ends = math.inf
        until.wait(0.01)
