"""How long the command keeps a person waiting, imports and all, beside what it cannot do without.

`accepted` is the moment at which the record in Redis says so; from there on the operation is carried to its
end whatever happens, and the command is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from benchmarks.bench import Bench
from benchmarks.figures import middle
from benchmarks.targets import BARE, CREATE, HELP, IMPORTS
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.record.keys import Keys

LOCKSTEP = [str(Path(sys.executable).with_name("lockstep"))]
HOSTS = "http://node1:1,http://node2:1,http://node3:1"
MANY = 10_000
OPERATIONS = Keys("lockstep:").operations
LOOK = 0.002
"""Seconds between looks at the record; the figures are uncertain by as much."""
Env = dict[str, str]


def measure(bench: Bench) -> None:
    """Take turns, so that a busy moment is everybody's."""
    directory = bench.directory / "command"
    directory.mkdir()
    server = RedisServer(directory, guard=bench.guard)
    server.start()
    try:
        env = {**os.environ, "LOCKSTEP_REDIS_URL": server.url, "LOCKSTEP_HOSTS": HOSTS}
        many = {**env, "LOCKSTEP_HOSTS": "", "LOCKSTEP_INVENTORY": str(inventory(directory))}
        rows: dict[str, Callable[[], float]] = {
            BARE: lambda: run([sys.executable, "-c", BARE], env),
            IMPORTS: lambda: run([sys.executable, "-c", IMPORTS], env),
            HELP: lambda: run([*LOCKSTEP, "--help"], env),
            "lockstep list": lambda: run([*LOCKSTEP, "list"], env),
            "lockstep create, until accepted": lambda: accepted(server.url, env),
            CREATE: lambda: run([*LOCKSTEP, *create()], env),
            f"lockstep create among {MANY} hosts, until accepted": lambda: accepted(
                server.url, many, "--hosts", "node1"
            ),
        }
        found = bench.figures.beside.commands
        for number in range(1 + 2 * bench.repeats):
            for name, take in rows.items():
                taken = take()
                if number:  # the first one fills caches
                    found.setdefault(name, []).append(taken)
        for name, times in found.items():
            bench.say(f"  {name}: {middle(times):.0f} ms, {min(times):.0f} at best")
    finally:
        server.stop()


def create() -> list[str]:
    """Return the arguments that create a group which no other run uses."""
    return ["create", f"team-{time.monotonic_ns()}", "--no-wait"]


def run(command: list[str], env: Env) -> float:
    """Return the milliseconds that a command takes."""
    began = time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return 1000 * (time.monotonic() - began)


def accepted(url: str, env: Env, *options: str) -> float:
    """Return the milliseconds from typing `lockstep create` until Redis has the operation."""
    with redis.Redis.from_url(url) as client:
        before = client.zcard(OPERATIONS)
        began = time.monotonic()
        command = [*LOCKSTEP, *create(), *options]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ran:
            while client.zcard(OPERATIONS) == before:
                assert ran.poll() is None, "the command ended without an operation"
                time.sleep(LOOK)
            taken = 1000 * (time.monotonic() - began)
            ran.kill()
    return taken


def inventory(directory: Path) -> Path:
    """Write an inventory of many hosts with labels and token files."""
    path = directory / "hosts.yaml"
    entry = "- {{name: node{n}, url: 'https://node{n}.example:8443', token_file: /t, labels: {{zone: eu}}}}\n"
    path.write_text("".join(entry.format(n=n) for n in range(MANY)))
    return path
