"""Many small operations at once; and what they leave in Redis."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.cluster import STEADY
from benchmarks.extras.keys import kept
from benchmarks.samples import Case
from benchmarks.session import WrongOutcome

HOSTS = 5
CLIENTS = 8
LARGE = 1000
SMALL_OPERATIONS = "operations of 5 hosts"
LARGE_OPERATIONS = "operations of 1000 hosts"


JOBS = 300
CANDIDATES = ("stock", "lockstep")


def measure(bench: Bench) -> None:
    """Operations per second beside the stock chord's, and Redis memory for each, small and large."""
    jobs = 100 if bench.quick else JOBS
    found = bench.figures.beside
    with bench.session("lockstep", LARGE) as session:
        assert session.redis is not None
        session.run(Case(LARGE))
        found.kept[LARGE_OPERATIONS] = kept(session.redis.client)
        found.operations[LARGE_OPERATIONS] = 1
    for number in range(bench.repeats):
        for name in CANDIDATES:
            _rate(bench, name, jobs, last=number == bench.repeats - 1)


def _rate(bench: Bench, name: str, jobs: int, *, last: bool) -> None:
    found = bench.figures.beside
    with bench.session(name, HOSTS) as session:
        assert session.redis is not None
        session.ask(do="many", group="warm", hosts=HOSTS, jobs=CLIENTS, clients=CLIENTS)
        bench.nodes.reset(STEADY)
        said = session.ask(do="many", group="many", hosts=HOSTS, jobs=jobs, clients=CLIENTS)
        state = bench.nodes.state()
        if not said["committed"] or state.held != jobs * HOSTS or state.created != jobs * HOSTS:
            raise WrongOutcome(f"{jobs} operations at once: {said}, {state}")
        rate = jobs / said["seconds"]
        found.throughput.setdefault(name, []).append(rate)
        bench.say(f"  {name}: {jobs} operations of {HOSTS} hosts at once: {rate:.0f} a second")
        if last and name == "lockstep":
            found.kept[SMALL_OPERATIONS] = kept(session.redis.client)
            found.operations[SMALL_OPERATIONS] = jobs + CLIENTS
