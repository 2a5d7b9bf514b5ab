"""Many clients call the record on a real Redis at once: `python -m tests.contract.linearizable`.

Of each call it is kept when it was made, when it was answered, and what the answer was. The answers are right
if there is one order of the calls in which none comes before a call that was answered before it was made, and
in which the twin, which serves one call after the other, gives the same answers. Such an order is sought as
Wing and Gong do, for each group by itself: calls about different groups have nothing to do with each other.

No answer that is compared depends on the time: whatever waits for time waits for longer than a run lasts.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.drift import End
from lockstep.worker.operation.host import Limits, WriteLimit
from lockstep.worker.operation.model import GroupId, HostName, Millis
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import WriteLimits
from lockstep.worker.record.redis import RedisStore
from tests.contract.calls import CLIENTS, NEVER, Call, Made, drawn, limits_of, plain
from tests.twin import MemoryStore

STORES = 4
"""Two clients share a store each, so that some of their calls go to Redis together and some do not."""
LIMITS = Limits(
    send_within=NEVER,
    call=NEVER,
    settle=NEVER,
    sweep_patience=NEVER,
    longest_countdown=NEVER,
    host_patience=NEVER,
    memory_watermark=0.8,
    replicas=0,
    replicas_within=1000,
)
NO_LIMITS: Mapping[str, WriteLimit] = {}
EACH = 5
"""Calls of each client about one group."""


Store = Callable[[RedisStore], object]
"""What stands between a client and its store; planted bugs do."""


@dataclass
class Run:
    """Clients that go from group to group together."""

    stores: Sequence[object]
    seed: int
    groups: Sequence[GroupId]

    def histories(self) -> dict[GroupId, list[Made]]:
        """Make all calls; return those about each group."""
        made: dict[GroupId, list[Made]] = {name: [] for name in self.groups}
        together = threading.Barrier(CLIENTS)
        errors: list[BaseException] = []

        def work(client: int) -> None:
            dice, store = random.Random(f"{self.seed}/{client}"), self.stores[client % len(self.stores)]
            try:
                for name in self.groups:
                    together.wait(60)
                    ends: dict[HostName, End] = {}
                    for _ in range(EACH):
                        call = drawn(dice, client, name, ends)
                        began = time.monotonic()
                        said = call.on(store)
                        made[name].append(Made(call, began, time.monotonic(), plain(said)))
                        if call.method == "ends":
                            ends = cast(dict[HostName, End], said)
            except BaseException as error:  # noqa: BLE001 - told once all have ended
                errors.append(error)
                together.abort()

        threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return made


def groups_of(number: int) -> list[GroupId]:
    """Return the groups of a run."""
    return [GroupId(f"g{each}") for each in range(number)]


class Twin:
    """The twin as a value: a state, and what a call makes of it."""

    def __init__(self, limits: Mapping[str, WriteLimit]) -> None:
        self._store = MemoryStore(lambda: Millis(NEVER), LIMITS)
        self._store.limited.update(limits)
        self._fields = [name for name in vars(self._store) if name not in ("clock", "limits")]
        self._known: dict[tuple[bytes, int], tuple[object, bytes]] = {}
        self.empty = self._state()

    def _state(self) -> bytes:
        return pickle.dumps([getattr(self._store, name) for name in self._fields])

    def after(self, state: bytes, call: Call) -> tuple[object, bytes]:
        """Return the answer to a call, and the state behind it."""
        key = (state, id(call))
        if key not in self._known:
            for name, value in zip(self._fields, pickle.loads(state), strict=True):
                setattr(self._store, name, value)
            answer = plain(call.timeless().on(self._store))
            self._known[key] = (answer, self._state())
        return self._known[key]


def in_order(
    history: Sequence[Made], stuck: list[str] | None = None, limits: Mapping[str, WriteLimit] = NO_LIMITS
) -> list[Made] | None:
    """Return the calls in an order in which the twin gives the same answers; None if there is none.

    Then `stuck` is told the longest such order, and what the twin says to the calls that might follow.
    """
    twin, calls = Twin(limits), sorted(history, key=lambda made: made.began)
    everything = (1 << len(calls)) - 1
    stack: list[tuple[int, bytes, tuple[int, ...]]] = [(0, twin.empty, ())]
    been = {(0, twin.empty)}
    longest: tuple[int, bytes, tuple[int, ...]] = stack[0]
    while stack:
        done, state, order = stack.pop()
        if len(order) > len(longest[2]):
            longest = done, state, order
        if done == everything:
            return [calls[number] for number in order]
        for number in reversed(list(_next(calls, done))):
            answer, after = twin.after(state, calls[number].call)
            then = done | 1 << number
            if answer == calls[number].answer and (then, after) not in been:
                been.add((then, after))
                stack.append((then, after, (*order, number)))
    if stuck is not None:
        done, state, order = longest
        stuck += [f"  at best {len(order)} of {len(calls)}:"]
        stuck += [f"    {calls[number].call.method}{calls[number].call.arguments[:2]}" for number in order]
        for number in _next(calls, done):
            said = f"-> {calls[number].answer}, the twin {twin.after(state, calls[number].call)[0]}"
            stuck.append(f"  and not {calls[number].call.method}{calls[number].call.arguments} {said}")
    return None


def _next(calls: Sequence[Made], done: int) -> Iterator[int]:
    """The calls that may come next: made before any other that is left was answered."""
    left = [number for number in range(len(calls)) if not done >> number & 1]
    first = min(calls[number].ended for number in left)
    return (number for number in left if calls[number].began <= first)


@contextmanager
def clients_of(
    server: RedisServer, groups: Sequence[GroupId], between: Store = lambda store: store
) -> Iterator[list[object]]:
    """Stores with a connection pool each, on a database that has the limits of these groups and nothing else.

    Each call is made once, and waited for however long it takes: one that redis-py gives up, and makes again,
    has two places in the order.
    """
    with ExitStack() as stack:
        once = {"socket_timeout": None, "retry": Retry(NoBackoff(), 0), "decode_responses": True}
        clients = [stack.enter_context(redis.Redis.from_url(server.url, **once)) for _ in range(STORES)]
        clients[0].flushall()
        limits = {host: limit for name in groups for host, limit in limits_of(name).items()}
        WriteLimits(clients[0], Keys("t:")).keep(limits)
        yield [between(RedisStore(client, Keys("t:"), LIMITS)) for client in clients]


def wrong(histories: dict[GroupId, list[Made]]) -> list[str]:
    """Name the groups whose calls have no order, with all that was answered."""
    found: list[str] = []
    for group, history in histories.items():
        stuck: list[str] = []
        if in_order(history, stuck, limits_of(group)) is None:
            first = min(made.began for made in history)
            lines = [
                f"  {1000 * (made.began - first):8.2f} to {1000 * (made.ended - first):8.2f} ms  "
                f"{made.call.method}{made.call.arguments} -> {made.answer}"
                for made in sorted(history, key=lambda made: made.began)
            ]
            found.append("\n".join([f"the calls about {group} have no order:", *lines, *stuck]))
    return found


def at_once(history: Sequence[Made]) -> int:
    """How many calls were made while another was under way."""
    pairs = itertools.combinations(sorted(history, key=lambda made: made.began), 2)
    return len({one.began for one, other in pairs if other.began < one.ended})


def main() -> int:
    """Make the calls and check them; 1 if some answers have no order."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.linearizable", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1_000_000_000 // 86_400)
    given = parser.parse_args()
    groups = groups_of(-(-given.calls // (CLIENTS * EACH)))
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        with clients_of(server, groups) as stores:
            began = time.monotonic()
            histories = Run(stores, given.seed, groups).histories()
        asked = time.monotonic()
        found = wrong(histories)
    made = [each for history in histories.values() for each in history]
    beside = sum(map(at_once, histories.values()))
    counts = Counter(each.call.method for each in made)
    print(
        f"seed {given.seed}: {len(made)} calls of {CLIENTS} clients about {len(groups)} groups, {beside} "
        f"of them beside another, {len(found)} groups without an order; {asked - began:.0f} s, checked in "
        f"{time.monotonic() - asked:.0f} s"
    )
    print("  " + ", ".join(f"{method}: {count}" for method, count in sorted(counts.items())))
    print(*found[:3], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
