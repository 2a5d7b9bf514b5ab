"""A sweep over very many unfinished operations: accepted by producers that died before publishing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

from benchmarks.addresses import inventory
from benchmarks.bench import Bench
from benchmarks.server import CaseRedis, Durability
from lockstep import Settings, load_inventory, load_settings
from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.operation.model import Action, GroupId, OperationId
from lockstep.worker.operation.transitions import Accepted, Request
from lockstep.worker.record.link import connect

OPERATIONS = 10_000
HOSTS = 5
AT_ONCE = 0.01
"""Seconds: short enough that one sweep's lease does not keep the next from running."""


def measure(bench: Bench) -> None:
    """Time a sweep that finds nothing due, and one that finds everything due."""
    operations = OPERATIONS // 5 if bench.quick else OPERATIONS
    directory = bench.directory / "sweeping"
    directory.mkdir()
    hosts = directory / "inventory.yaml"
    hosts.write_text(inventory(bench.nodes.urls[:HOSTS]))
    server = CaseRedis(directory, bench.guard, Durability.ALWAYS)
    server.start()
    try:
        found = bench.figures.beside
        _accept(_settings(server, hosts), operations)
        found.sweep_idle += _sweeps(_settings(server, hosts), "resumed 0", bench.repeats)
        _make_overdue(server)
        found.sweep_due += _sweeps(_settings(server, hosts), "resumed 200", bench.repeats)
        bench.say(
            f"  a sweep over {operations} operations: {found.sweep_idle} s idle, {found.sweep_due} s due"
        )
    finally:
        server.server.stop()


def _make_overdue(server: CaseRedis) -> None:
    """Have it be long since anything moved, in each record and in the index of when each is due."""
    ids = cast(list[str], server.client.zrange("lockstep:due", 0, -1))
    with server.client.pipeline(transaction=False) as pipe:
        pipe.zadd("lockstep:due", dict.fromkeys(ids, 1.0))
        for operation in ids:
            pipe.hset(f"lockstep:op:{operation}", "progress_at", 1)
        pipe.execute()


def _settings(server: CaseRedis, hosts: Path) -> Settings:
    return load_settings(
        redis_url=server.server.url, inventory=str(hosts), sweep_every=AT_ONCE, sweep_queue_limit=10**9
    )


def _accept(settings: Settings, operations: int) -> None:
    store = connect(settings)
    hosts = tuple(host.ref for host in load_inventory(settings))
    for number in range(operations):
        request = Request(
            OperationId(f"swept{number}"), GroupId(f"swept{number}"), Action.CREATE, hosts, 3_600_000, "bench"
        )
        assert store.accept(request) is Accepted.ACCEPTED


def _sweeps(settings: Settings, expected: str, repeats: int) -> list[float]:
    app = make_app(settings)
    app.loader.import_default_modules()
    sweep = app.tasks[TaskName.SWEEP]
    times = []
    for _ in range(repeats + 1):
        time.sleep(2 * AT_ONCE)
        begun = time.perf_counter()
        said = sweep()
        times.append(time.perf_counter() - begun)
        assert said == expected, said
    app.close()
    return times[1:]
