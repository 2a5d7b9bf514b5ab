"""What calls of the record cost that threads make at once, beside the design before it."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis

from benchmarks.bench import Bench
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.scripts import (
    LINGER,
    MOST,
    QUICK,
    WITHIN,
    Arguments,
    Batch,
    CallKind,
    Replies,
    Send,
)

THREADS = (1, 8, 64)
SECONDS = 1.0
"""Of a run."""


@dataclass(slots=True)
class _Call:
    kind: CallKind
    arguments: Arguments
    turn: threading.Lock = field(default_factory=threading.Lock)
    served: bool = False
    reply: object = None


class Led:
    """One thread at a time sends what all have asked for, and hands the lead on. An interrupt wedges it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._sending = False
        self._arrivals: deque[float] = deque(maxlen=QUICK)

    def run(self, kind: CallKind, arguments: Arguments) -> object:
        """Return the reply to one call."""
        call = _Call(kind, arguments)
        call.turn.acquire()
        with self._lock:
            self._arrivals.append(time.monotonic())
            self._waiting.append(call)
            leads = not self._sending
            self._sending = True
        if not leads:
            call.turn.acquire()
        if not call.served:
            self._serve()
        return call.reply

    def _serve(self) -> None:
        if len(self._arrivals) == QUICK and time.monotonic() - self._arrivals[0] < WITHIN:
            time.sleep(LINGER)
        with self._lock:
            calls, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        kinds: dict[CallKind, list[_Call]] = {}
        for call in calls:
            kinds.setdefault(call.kind, []).append(call)
        replies = self._send({kind: [call.arguments for call in same] for kind, same in kinds.items()})
        for kind, same in kinds.items():
            for call, call.reply in zip(same, replies[kind], strict=True):  # type: ignore[arg-type]
                call.served = True
                call.turn.release()
        with self._lock:
            self._sending = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()


def measure(bench: Bench) -> None:
    """Have threads do nothing but call, each call on disk before it is answered; both designs in turn."""
    directory = bench.directory / "gathering"
    directory.mkdir()
    with RedisServer(directory, guard=bench.guard) as server, redis.Redis.from_url(server.url) as client:

        def send(calls: Mapping[CallKind, Sequence[Arguments]]) -> Replies:
            pipe = client.pipeline(transaction=False)
            for (_, operation), same in calls.items():
                pipe.incrby(operation, len(same))
            return {kind: [said] * len(calls[kind]) for kind, said in zip(calls, pipe.execute(), strict=True)}

        for threads in THREADS:
            pairs = []
            for number in range(1 + 2 * bench.repeats):
                both = Led(send), Batch(send)
                taken = {type(each): _run(each, threads) for each in (both if number % 2 else both[::-1])}
                pairs += [(taken[Led], taken[Batch])] if number else []  # the first warms up
            rates = [now[0] / then[0] for then, now in pairs]
            cpu = statistics.median(now[1] / then[1] for then, now in pairs)
            rate = statistics.median(rates)
            found = f"{threads} threads: {rate:.2f} of the calls a second, {cpu:.2f} of the CPU a call"
            bench.figures.beside.gathering.append(found)
            bench.say(f"  {found} ({min(rates):.2f} to {max(rates):.2f})")


def _run(design: Led | Batch, threads: int) -> tuple[float, float]:
    """Return calls a second, and the milliseconds of CPU that each took."""
    made = [0] * threads
    began, cpu = time.monotonic(), time.process_time()

    def call(number: int) -> None:
        while time.monotonic() - began < SECONDS:
            design.run(("count", OperationId(str(number % 8))), ())
            made[number] += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(made) / (time.monotonic() - began), 1000 * (time.process_time() - cpu) / sum(made)
