"""What processes and Redis use while a run lasts: judged flat, or named."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from lockstep.worker.connection import client
from lockstep.worker.record.keys import Keys
from tests.chaos.rig import Rig

EVERY = 2.0
ENOUGH = 60
"""Samples of one process; of one that lived for less nothing is said."""
WARM = 10
"""Samples in which a process still grows into its work."""
SHARE = 1.25
SLACK = {"memory in MB": 25.0, "files": 20.0, "threads": 6.0, "connections": 20.0, "other keys": 60.0}
"""By how much the floor of its last third may be above that of its first, beside a quarter."""
PER_OPERATION = 16_384
"""Bytes that Redis may keep of an operation, which stays until retention drops it."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one process used at one moment."""

    process: str
    values: Mapping[str, float]


class Sampler(threading.Thread):
    """A thread that takes samples until it is stopped."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(name="resources")
        self._rig = rig
        pool = rig.settings.concurrency if rig.plan.pool == "threads" else 0
        # A pool begins each of its threads when that is first needed, and keeps it.
        self._least = {"threads": pool + SLACK["threads"]} if pool else {}
        self._found: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
        self._redis: list[tuple[float, float]] = []
        self._done = threading.Event()

    def stop(self) -> None:
        """End."""
        self._done.set()
        self.join()

    def run(self) -> None:
        with client(self._rig.settings) as store:
            while not self._done.wait(EVERY):
                for used in self._processes():
                    self._found[used.process].append(used.values)
                with suppress(redis.RedisError, OSError):
                    self._of_redis(store)

    def _processes(self) -> Iterator[Used]:
        rig = self._rig
        for child in (*rig.workers, *rig.others):
            if child.running:
                with suppress(OSError, ValueError, IndexError):
                    of = Path(f"/proc/{child.pid}")
                    pages = int((of / "statm").read_text().split()[1])
                    status = (of / "status").read_text()
                    threads = int(status.split("Threads:")[1].split()[0])
                    files = len(list((of / "fd").iterdir()))
                    values = {"memory in MB": pages * 4096 / 1e6, "files": files, "threads": threads}
                    yield Used(f"{child.name}, process {child.pid}", values)

    def _of_redis(self, store: redis.Redis) -> None:
        keys = Keys(self._rig.settings.key_prefix)
        operations = store.zcard(keys.operations)
        info = store.info()
        self._redis.append((operations, info["used_memory"]))
        # What Celery keeps of a chord for a day ends by itself; a record ends with its retention.
        lasting = info["db0"]["keys"] - info["db0"]["expires"] if "db0" in info else 0
        records = sum(1 for _ in store.scan_iter(f"{keys.prefix}op:*", count=1000))
        values = {"connections": info["connected_clients"], "other keys": lasting - records}
        self._found["Redis"].append(values)

    def wrong(self) -> Iterator[str]:
        """Name what grew."""
        for process, samples in self._found.items():
            settled = samples[WARM:]
            third = len(settled) // 3
            for what in settled[0] if len(settled) >= ENOUGH else ():
                first, last = (
                    _floor(each[what] for each in part) for part in (settled[:third], settled[-third:])
                )
                if last > SHARE * max(first, self._least.get(what, 0.0)) + SLACK[what]:
                    yield f"{process} used {first:.0f} {what} at first and {last:.0f} in the end"
        if len(self._redis) >= ENOUGH:
            (before, less), (after, more) = self._redis[0], self._redis[-1]
            if more - less > PER_OPERATION * max(after - before, 1000):
                yield f"Redis keeps {(more - less) / (after - before):.0f} bytes of each operation"

    def told(self) -> str:
        """Say the most that was used, for whoever reads the run."""
        most: defaultdict[str, float] = defaultdict(float)
        for samples in self._found.values():
            for values in samples:
                for what, value in values.items():
                    most[what] = max(most[what], value)
        return ", ".join(f"{what} at most {value:.0f}" for what, value in sorted(most.items()))


def _floor(values: Iterable[float]) -> float:
    """What is used with little to do: threads come and go with the load, but what leaks stays."""
    return statistics.quantiles(values, n=10)[0]
