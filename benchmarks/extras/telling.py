"""What it costs that calls to hosts can be counted and traced, where nobody asks for either."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import median
from typing import TypeVar
from unittest.mock import patch

from benchmarks.addresses import name_of
from benchmarks.bench import Bench
from benchmarks.cluster import NONE
from lockstep.worker.hosts.client import Call, HostClient, SystemClock
from lockstep.worker.hosts.curl import Loop
from lockstep.worker.hosts.transfer import Transfer
from lockstep.worker.operation.answer import NoReply, Reply, in_time
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName
from lockstep.worker.settings import Settings
from lockstep.worker.tasks import runtime

HOSTS, PAIRS = 100, 200
T = TypeVar("T")


class _AtOnce(Loop):
    """Has the answer to a call at once, from no host: what is left is the code of the thread that calls."""

    def _begin_thread(self) -> None:
        """Need none."""

    def _give(self, call: Transfer) -> None:
        call.finish(Reply(404 if call.asked.method == "GET" else 201, b""))


class _Untold(_AtOnce):
    """The same, and nobody can be told what a call took."""

    def carry(self, asked: Call) -> Reply | NoReply:
        call = Transfer(asked, self._kept, [])
        try:
            self._begin_thread()
            self._give(call)
            return call.said.wait()
        finally:
            call.given_up = True


def measure(bench: Bench) -> None:
    """Look at hosts and write to them from one thread: with the code that counts, and without it, in turn."""
    found = bench.figures.beside.telling
    bench.nodes.reset(NONE)
    urls = bench.nodes.urls[:HOSTS]
    whole = Loop()
    costs = [_cost(whole, urls, str(number)) for number in range(2 * bench.repeats)]
    found["whole"] = costs[1:]  # the first opens the connections
    for number in range(PAIRS // 10 if bench.quick else PAIRS):
        for name, loop in (("told", _AtOnce()), ("untold", _Untold()))[:: 1 - number % 2 * 2]:
            without = patch.object(runtime, "_timed", _untimed) if name == "untold" else nullcontext()
            with without:
                found.setdefault(name, []).append(_cost(loop, urls, str(number)))
    whole_ms, told, untold = (median(found[name]) for name in ("whole", "told", "untold"))
    bench.say(
        f"  two calls take {whole_ms:.3f} ms of CPU, {1000 * (told - untold):.1f} µs of it for that code"
    )


def _cost(loop: Loop, urls: Sequence[str], group: str) -> float:
    """Return the milliseconds of CPU that the two calls of one host take."""
    settings, began = Settings(), time.process_time()
    for url in urls:
        client = HostClient(Host(HostName(name_of(url)), url), settings, loop.carry)
        host = runtime.WatchedHost(client)
        host.look_at_group(GroupId(group))
        said = host.write(Action.CREATE, GroupId(group), AttemptId("a1"), in_time(SystemClock(), 60))
        assert said.effect is Effect.APPLIED, said
    return 1000 * (time.process_time() - began) / len(urls)


def _untimed(_: str, ask: Callable[[], T], __: Callable[[T], str]) -> T:
    return ask()
