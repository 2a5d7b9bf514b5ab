"""How long the command keeps a person waiting: `python -m benchmarks.command`.

The best and the median of ten runs on this machine, in milliseconds, imports and all; and the least processor
time of them, which a busy machine changes less. `accepted` is the moment at which the record in Redis says
so; from there on the operation is carried to its end whatever happens, and the command is killed.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.record.codec import Keys

RUNS = 10
LOCKSTEP = [str(Path(sys.executable).with_name("lockstep"))]
HOSTS = "http://node1:1,http://node2:1,http://node3:1"
MANY = 10_000
OPERATIONS = Keys("lockstep:").operations
LOOK = 0.002
"""Seconds between looks at the record; the figures are uncertain by as much."""


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory, RedisServer(Path(directory)) as server:
        server.start()
        base = {key: value for key, value in os.environ.items() if not key.startswith("LOCKSTEP_")}
        env = {**base, "LOCKSTEP_REDIS_URL": server.url, "LOCKSTEP_HOSTS": HOSTS}
        many = {**env, "LOCKSTEP_HOSTS": "", "LOCKSTEP_INVENTORY": str(inventory(Path(directory)))}
        rows: list[tuple[str, Callable[[], Taken]]] = [
            ("python -c pass", lambda: run([sys.executable, "-c", "pass"], env)),
            ("lockstep --help", lambda: run([*LOCKSTEP, "--help"], env)),
            ("lockstep list", lambda: run([*LOCKSTEP, "list"], env)),
            ("lockstep create, until accepted", lambda: accepted(server.url, env)),
            ("lockstep create --no-wait, whole", lambda: run([*LOCKSTEP, *create()], env)),
            (f"the same among {MANY} hosts", lambda: accepted(server.url, many, "--hosts", "node1")),
        ]
        print(f"{'':34} {'best':>6} {'median':>7} {'processor':>10}   (ms, {RUNS} runs)")
        for name, measure in rows:
            measure()  # the first one fills caches
            taken = [measure() for _ in range(RUNS)]
            wall = [each.wall for each in taken]
            least = min(each.processor for each in taken)
            print(f"{name:34} {min(wall):6.0f} {statistics.median(wall):7.0f} {least:10.0f}", flush=True)
    return 0


def create() -> list[str]:
    """Return the arguments that create a group which no other run uses."""
    return ["create", f"team-{time.monotonic_ns()}", "--no-wait"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took, in milliseconds."""

    wall: float
    processor: float


def used() -> float:
    """Return the processor time of all commands so far, in seconds."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run(command: list[str], env: dict[str, str]) -> Taken:
    """Return what a command takes."""
    before, began = used(), time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Taken(1000 * (time.monotonic() - began), 1000 * (used() - before))


def accepted(url: str, env: dict[str, str], *options: str) -> Taken:
    """Return what it takes from typing `lockstep create` until Redis has the operation."""
    with redis.Redis.from_url(url) as client:
        before = client.zcard(OPERATIONS)
        spent, began = used(), time.monotonic()
        command = [*LOCKSTEP, *create(), *options]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ran:
            while client.zcard(OPERATIONS) == before:
                assert ran.poll() is None, "the command ended without an operation"
                time.sleep(LOOK)
            wall = 1000 * (time.monotonic() - began)
            ran.kill()
    return Taken(wall, 1000 * (used() - spent))


def inventory(directory: Path) -> Path:
    """Write an inventory of many hosts with labels and token files."""
    path = directory / "hosts.yaml"
    entry = "- {{name: node{n}, url: 'https://node{n}.example:8443', token_file: /t, labels: {{zone: eu}}}}\n"
    path.write_text("".join(entry.format(n=n) for n in range(MANY)))
    return path


if __name__ == "__main__":
    sys.exit(main())
