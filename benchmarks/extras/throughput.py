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


def measure(bench: Bench) -> None:
    """Operations per second, and Redis memory for each, small and large."""
    jobs = 100 if bench.quick else 1000
    found = bench.figures.beside
    with bench.session("lockstep", LARGE) as session:
        assert session.redis is not None
        session.run(Case(LARGE))
        found.kept[LARGE_OPERATIONS] = kept(session.redis.client)
        found.operations[LARGE_OPERATIONS] = 1
    with bench.session("lockstep", HOSTS) as session:
        assert session.redis is not None
        session.ask(do="many", group="warm", hosts=HOSTS, jobs=CLIENTS, clients=CLIENTS)
        for number in range(bench.repeats):
            bench.nodes.reset(STEADY)
            said = session.ask(do="many", group=f"many{number}", hosts=HOSTS, jobs=jobs, clients=CLIENTS)
            state = bench.nodes.state()
            if not said["committed"] or state.held != jobs * HOSTS or state.created != jobs * HOSTS:
                raise WrongOutcome(f"{jobs} operations at once: {said}, {state}")
            found.throughput.append(jobs / said["seconds"])
            bench.say(f"  {jobs} operations of {HOSTS} hosts at once: {found.throughput[-1]:.0f} a second")
        found.kept[SMALL_OPERATIONS] = kept(session.redis.client)
        found.operations[SMALL_OPERATIONS] = jobs * bench.repeats + CLIENTS
