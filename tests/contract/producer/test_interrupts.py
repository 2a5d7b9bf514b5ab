"""Ctrl-C, wherever it comes, and `close()` while others work: nobody hangs or reads another's answer."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
import redis

from lockstep import ClusterClient
from lockstep.producer.client.operation import Operation
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE, eventually

SEEN = (
    "threading.py",
    "worker/record/events.py",
    "worker/record/link.py",
    "worker/record/events.py",
    "redis/client.py",
)


class Interrupt:
    """Raises KeyboardInterrupt at the nth line of some files that this thread comes to.

    In a finaliser it would come to nobody, as a real one does there now and then: Python only prints it.
    """

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(SEEN) or (event == "call" and in_finaliser(frame)):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_ends_a_wait_wherever_it_comes(operation: Operation, hand: Hand) -> None:
    """One that is about to end by itself, too."""
    hand.commit(operation)

    def waits(interrupt: Interrupt, over: list[bool]) -> None:
        sys.settrace(interrupt)
        told = False
        try:
            operation.wait(PATIENCE)
        except KeyboardInterrupt:
            told = True
        finally:
            sys.settrace(None)
        over.append(interrupt.left > 0)
        lost.extend([number] if told is over[-1] else [])

    over = [False]
    lost: list[int] = []
    number = 0
    while not over[-1]:
        number += 1
        waiting = threading.Thread(target=waits, args=(Interrupt(number), over), daemon=True)
        waiting.start()
        waiting.join(PATIENCE)
        assert not waiting.is_alive(), f"hangs after an interrupt at line {number}"
    assert number > 50
    assert not lost, "interrupts that the caller was not told of"
    assert operation.wait(PATIENCE).committed


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError], ids=["Ctrl-C", "of a signal handler"])
def test_nobody_reads_the_answer_to_an_interrupted_call(
    hand: Hand, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    hand.redis.set(f"{hand.settings.key_prefix}mine", "mine")
    reads: Any = hand.redis.connection_pool.connection_class.read_response

    def interrupted(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(hand.redis.connection_pool.connection_class, "read_response", interrupted)
    with pytest.raises(error):
        hand.redis.blpop([f"{hand.settings.key_prefix}nothing"], 1)
    assert hand.redis.connection_pool.connection_class.read_response is reads
    assert hand.redis.get(f"{hand.settings.key_prefix}mine") == "mine"


def test_closing_a_client_leaves_the_calls_of_other_threads_alone(
    cluster: ClusterClient, operation: Operation
) -> None:
    over = threading.Event()

    def work() -> int:
        count = 0
        while not over.is_set():
            operation.status()
            operation.steps()
            cluster.operations()
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work) for _ in range(4)]
        try:
            for _ in range(200):
                cluster.close()
                over.wait(0.002)
        finally:
            over.set()
        assert all(each.result() > 0 for each in working)


def test_a_closed_client_keeps_no_connection(
    cluster: ClusterClient, operation: Operation, hand: Hand
) -> None:
    def connections() -> set[str]:
        return {each["id"] for each in hand.redis.client_list()}

    before = connections()
    with ClusterClient(cluster.settings) as another:
        for _ in range(2):
            another.operation(operation.id).status()
        made = connections() - before
        assert made
    eventually(lambda: not made & connections(), "its connections are closed")
    assert isinstance(hand.redis, redis.Redis)
