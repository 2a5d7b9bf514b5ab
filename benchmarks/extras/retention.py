"""What is left in Redis once the records of ended operations may be dropped."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.extras.keys import kept
from benchmarks.samples import Case
from benchmarks.targets import AFTER_RETENTION
from lockstep.producer.stack import StackError

SMALL, LARGE = 5, 1000
JOBS, CLIENTS = 50, 8
KEPT_SECONDS = 3
DEADLINE = 60.0
SETTINGS = {
    "LOCKSTEP_RETENTION_DAYS": f"{KEPT_SECONDS / 86_400:.9f}",
    "LOCKSTEP_PATROL_HOURS": f"{KEPT_SECONDS / 3600:.9f}",
    "LOCKSTEP_SWEEP_EVERY": "0.5",
}


def measure(bench: Bench) -> None:
    """Count the keys that are left when no operation is. Raises StackError if records are never dropped."""
    found = bench.figures.beside
    with bench.session("lockstep", LARGE, env=SETTINGS) as session:
        assert session.redis is not None
        client = session.redis.client
        session.ask(do="many", group="small", hosts=SMALL, jobs=JOBS, clients=CLIENTS)
        session.run(Case(LARGE))
        ends = time.monotonic() + DEADLINE
        while client.exists("lockstep:operations"):
            if time.monotonic() > ends:
                raise StackError(f"records of {KEPT_SECONDS} s are still there after {DEADLINE:g} s")
            time.sleep(0.1)
        found.kept[AFTER_RETENTION] = kept(client)
        found.operations[AFTER_RETENTION] = JOBS + 1
        bench.say(f"  left after retention: {dict(found.kept[AFTER_RETENTION].keys)}")
