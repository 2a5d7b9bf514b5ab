"""`python -m tests.contract.golden.make NUMBER`: keep records of the format that this code writes.

Run it once, when a format is new, and commit what it made. It refuses to write a file anew: a golden record
is what the code of then left, not what the code of now would leave.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import redis

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, HostName
from lockstep.worker.record.codec import FORMAT
from tests.contract.bench import PREFIX, ClockedRedis, RedisBench
from tests.contract.driver import ABSENT, PRESENT, A, B, Driver
from tests.contract.golden import FOLDER, read, save

C = HostName("c")
FAR = 10**13
"""Milliseconds to the deadline: it is not to pass while the files are kept."""
Story = Callable[[RedisBench], tuple[Driver, set[str]]]


def started(bench: RedisBench, action: Action = Action.CREATE) -> Driver:
    return Driver(bench, "one", action).accepted((A, B, C), FAR)


def applying(bench: RedisBench) -> tuple[Driver, set[str]]:
    """One host is done, one has a write of unknown fate that landed, one did not answer."""
    one = started(bench).apply(A)
    one.begin(B, "b1")
    one.missed(C, "p1", "GET 500")
    return one, {"a", "b"}


def refused(bench: RedisBench) -> tuple[Driver, set[str]]:
    """One host has refused, and the others are still to be undone."""
    one = started(bench).apply(A)
    one.begin(B, "b1")
    one.begin(C, "c1")
    one.finish(C, "c1", Effect.REFUSED, "POST 403")
    return one, {"a"}


def rolling_back(bench: RedisBench) -> tuple[Driver, set[str]]:
    """A delete is undone: an inverse that landed is open, so is a delete that did not, and one host waits."""
    one = started(bench, Action.DELETE).apply(A)
    one.begin(B, "b1")
    one.begin(C, "c1", PRESENT)
    one.finish(C, "c1", Effect.APPLIED)
    one.roll_back()
    one.begin_undo(A, "undo a")
    one.begin_undo(C, "undo c")
    one.finish_undo(C, "undo c", Effect.REFUSED)
    one.store.postpone(one.id, C, 500, "DELETE 403")
    return one, {"a", "b"}


def settling(bench: RedisBench) -> tuple[Driver, set[str]]:
    """Committed, and the group is locked: the answer to a first write was lost."""
    one = started(bench)
    one.begin(A, "a1")
    one.finish(A, "a1", Effect.UNKNOWN, "read time-out")
    one.begin(A, "a2", PRESENT)
    one.apply(B, C)
    one.commit()
    one.look(A, PRESENT)
    return one, {"a", "b", "c"}


def committed(bench: RedisBench) -> tuple[Driver, set[str]]:
    """At its end; one host had the group before."""
    one = started(bench).apply(A, B)
    one.begin(C, "c1", PRESENT)
    return one.commit(), {"a", "b", "c"}


def rolled_back(bench: RedisBench) -> tuple[Driver, set[str]]:
    """At its end; one host was touched, one never."""
    one = started(bench).apply(A)
    one.begin(B, "b1", PRESENT)
    one.roll_back().undo(A)
    return one, {"b"}


def abandoned(bench: RedisBench) -> tuple[Driver, set[str]]:
    """At its end, because somebody gave up on a host."""
    one = started(bench).apply(A)
    one.begin(B, "b1", ABSENT)
    one.roll_back().undo(A)
    one.store.abandon(one.id, B, "scrapped")
    return one, set()


STORIES: tuple[Story, ...] = (
    applying,
    refused,
    rolling_back,
    settling,
    committed,
    rolled_back,
    abandoned,
)


def main(number: str) -> int:
    """Write every file of a format; 1 if this code writes another, or one is there."""
    folder = FOLDER / f"format{number}"
    if number != FORMAT:
        sys.stderr.write(f"error: this code writes format {FORMAT}, not {number}\n")
        return 1
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        ClockedRedis(Path(place)) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        for story in STORIES:
            client.flushdb()
            one, holding = story(RedisBench(client, server.clock))
            kept = {
                "story": story.__doc__,
                "made_at": one.bench.now(),
                "holding": sorted(holding),
                "keys": save(client, PREFIX),
                "read": read(one.store, one.id),
            }
            with (folder / f"{story.__name__}.json").open("x", encoding="utf-8") as file:
                json.dump(kept, file, indent=1, ensure_ascii=False, sort_keys=True)
                file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
