"""What further attempts cost, with their settling, and what is kept. It is counted; CPU is to be known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import mean

from benchmarks.bench import Bench
from benchmarks.capacity import ATTEMPTED, COUNTED
from benchmarks.extras.keys import PREFIX, kept
from benchmarks.processes import cpu_seconds
from benchmarks.samples import Case
from benchmarks.session import Session
from lockstep.producer.stack import StackError

KEPT, HOSTS, CLIENTS = 40, 60, 8
"""So many operations of so many hosts are kept, to hold what is predicted against."""
CPU = "ms of the producer", "ms of workers", "ms of Redis"
"""In the order of a session's processes."""
SETTINGS = {"LOCKSTEP_SETTLE_SECONDS": "3", "LOCKSTEP_READ_TIMEOUT": "3"}
"""A 503 leaves open what became of the write, until it is settled: sooner than usual, to be counted soon."""
IDLE = 10.0
DEADLINE = 120.0


def measure(bench: Bench) -> None:
    """Count commands, bytes of the append-only file and of the record, and CPU, for each host."""
    found = bench.figures.beside
    with bench.session("lockstep", max(hosts for hosts, _ in ATTEMPTED), env=SETTINGS) as session:
        session.warm_up()
        begun = _counts(session)
        time.sleep(IDLE)
        idle = [(now - then) / IDLE for now, then in zip(_counts(session), begun, strict=True)]
        for hosts, attempts in ATTEMPTED:
            runs = [_run(session, Case(hosts, attempts=attempts), idle) for _ in range(min(2, bench.repeats))]
            costs = [mean(each) / hosts for each in zip(*runs, strict=True)]
            found.attempts[hosts, attempts] = dict(zip((*COUNTED, *CPU), costs, strict=True))
            bench.say(f"  {hosts} hosts, {attempts} attempts: {found.attempts[hosts, attempts]}")
    with bench.session("lockstep", HOSTS) as session:
        assert session.redis is not None
        session.ask(do="many", group="kept", hosts=HOSTS, jobs=KEPT, clients=CLIENTS)
        found.kept[f"operations of {HOSTS} hosts"] = kept(session.redis.client)
        found.operations[f"operations of {HOSTS} hosts"] = KEPT


def _run(session: Session, case: Case, idle: Sequence[float]) -> list[float]:
    """Run a case until nothing of it is due any more; return what it took beyond what goes on anyway.

    Raises StackError if that never comes.
    """
    assert session.redis is not None
    before, began = _counts(session), time.monotonic()
    session.run(case)
    while session.redis.client.zcard(f"{PREFIX}due"):
        if time.monotonic() > began + DEADLINE:
            raise StackError(f"{case}: not settled after {DEADLINE:g} s")
        time.sleep(1)
    passed, after = time.monotonic() - began, _counts(session)
    return [now - then - rate * passed for now, then, rate in zip(after, before, idle, strict=True)]


def _counts(session: Session) -> tuple[float, ...]:
    assert session.redis is not None
    kept_bytes = kept(session.redis.client).sizes["op"]
    cpu = (1000 * cpu_seconds(pids) for pids in session.pids().values())
    return session.redis.commands(), session.redis.written(), kept_bytes, *cpu
