"""How long a worker takes to be ready, alone."""

from __future__ import annotations

import time

from benchmarks.bench import Bench

PEERS = ("stock", "lockstep")
HOSTS = 1000


def measure(bench: Bench) -> None:
    """Start one worker of each in turn; of Lockstep's, the one of the queue `operations`."""
    for _ in range(bench.repeats):
        for name in PEERS:
            with bench.session(name, HOSTS, with_workers=False) as session:
                worker = session.described_workers()[0]
                begun = time.monotonic()
                try:
                    worker.start()
                    taken = time.monotonic() - begun
                finally:
                    worker.stop()
            bench.figures.beside.ready.setdefault(name, []).append(taken)
            bench.say(f"  a worker of {name} is ready after {taken:.2f} s")
