"""What many threads ask of the store at once goes out together, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from worker.operation.errors import StoreUnavailable
from worker.operation.model import OperationId
from worker.store import gathering as gathering_module
from worker.store.gathering import QUICK, Arguments, Gathering, Kind

SOON = 10.0
BEGIN: Kind = ("begin", OperationId("op-1"))
FINISH: Kind = ("finish", OperationId("op-1"))


class Wire:
    """Holds the first sending until it is told to let it through; keeps what was sent."""

    def __init__(self, first: BaseException | None = None) -> None:
        self.sent: list[dict[Kind, list[Arguments]]] = []
        self.reached = threading.Event()
        self.through = threading.Event()
        self._first = first

    def __call__(self, calls: Mapping[Kind, Sequence[Arguments]]) -> dict[Kind, Sequence[object] | Exception]:
        self.sent.append({kind: list(same) for kind, same in calls.items()})
        if len(self.sent) == 1:
            self.reached.set()
            assert self.through.wait(SOON)
            if self._first:
                raise self._first
        return {kind: [f"{kind[0]} {host}" for (host,) in same] for kind, same in calls.items()}


def ask(pool: ThreadPoolExecutor, gathering: Gathering, wire: Wire, wanted: int) -> list[Future[object]]:
    """Ask for one call, and for more while it is on its way; let it through once all of them wait."""
    first = pool.submit(gathering.run, BEGIN, ("host-0",))
    assert wire.reached.wait(SOON)
    others = [
        pool.submit(gathering.run, BEGIN if each % 2 else FINISH, (f"host-{each}",))
        for each in range(1, wanted)
    ]
    until = threading.Event()
    while len(gathering._waiting) < len(others):
        until.wait(0.001)
    wire.through.set()
    return [first, *others]


def test_what_is_asked_for_meanwhile_goes_out_together_and_each_hears_its_own_reply() -> None:
    wire = Wire()
    gathering = Gathering(wire)
    with ThreadPoolExecutor(9) as pool:
        asked = ask(pool, gathering, wire, 9)
        said = [each.result(SOON) for each in asked]
    assert said == ["begin host-0", *(f"{'begin' if n % 2 else 'finish'} host-{n}" for n in range(1, 9))]
    assert len(wire.sent) == 2
    assert {kind: len(same) for kind, same in wire.sent[1].items()} == {BEGIN: 4, FINISH: 4}


def test_an_error_reaches_all_that_were_sent_with_it_and_the_next_goes_through() -> None:
    wire = Wire(StoreUnavailable("away"))
    gathering = Gathering(wire)
    with ThreadPoolExecutor(3) as pool:
        first, *others = ask(pool, gathering, wire, 3)
        with pytest.raises(StoreUnavailable, match="away"):
            first.result(SOON)
        assert [each.result(SOON) for each in others] == ["begin host-1", "finish host-2"]


def test_an_error_of_one_kind_is_not_heard_by_the_others() -> None:
    def send(calls: Mapping[Kind, Sequence[Arguments]]) -> dict[Kind, Sequence[object] | Exception]:
        return {
            kind: ValueError("refused") if kind == FINISH else ["fine"] * len(same)
            for kind, same in calls.items()
        }

    gathering = Gathering(send)
    assert gathering.run(BEGIN, ("host-1",)) == "fine"
    with pytest.raises(ValueError, match="refused"):
        gathering.run(FINISH, ("host-1",))


def test_an_interrupted_sender_leaves_nobody_waiting() -> None:
    wire = Wire(KeyboardInterrupt())
    gathering = Gathering(wire)
    heard: list[BaseException] = []

    def interrupted() -> None:
        try:
            gathering.run(BEGIN, ("host-0",))
        except KeyboardInterrupt as error:
            heard.append(error)

    sender = threading.Thread(target=interrupted)
    sender.start()
    assert wire.reached.wait(SOON)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(gathering.run, FINISH, ("host-1",))
        wire.through.set()
        assert other.result(SOON) == "finish host-1"
    sender.join(SOON)
    assert len(heard) == 1


def test_who_is_interrupted_while_calls_are_gathered_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = Wire()
    wire.through.set()
    gathering = Gathering(wire)
    monkeypatch.setattr(gathering_module, "WITHIN", SOON)  # calls always come in quickly
    for n in range(QUICK):
        gathering.run(BEGIN, (f"host-{n}",))

    def interrupt(_: float) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        gathering.run(BEGIN, ("host-8",))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(gathering.run, FINISH, ("host-9",)).result(SOON) == "finish host-9"
    assert {BEGIN: [("host-8",)]} not in wire.sent


class InterruptedLock:
    """Interrupts whoever has just released it, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupts = True

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt


def test_who_is_interrupted_as_its_turn_comes_leaves_nobody_waiting() -> None:
    wire = Wire()
    wire.through.set()
    gathering = Gathering(wire)
    gathering._lock = InterruptedLock()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        gathering.run(BEGIN, ("host-0",))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(gathering.run, FINISH, ("host-1",)).result(SOON) == "finish host-1"
    assert wire.sent == [{FINISH: [("host-1",)]}]
