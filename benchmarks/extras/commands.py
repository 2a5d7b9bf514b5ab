"""What clients send to Redis, and what scripts call inside it. MONITOR slows it down, so nothing is timed."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.samples import Case

PEERS = ("stock", "lockstep", "lockstep_per_host")


def measure(bench: Bench) -> None:
    """Watch one run of each."""
    hosts = 100 if bench.quick else 1000
    for name in PEERS:
        with bench.session(name, hosts) as session:
            assert session.redis is not None
            session.warm_up()
            with session.redis.monitored() as counts:
                session.run(Case(hosts))
            sent = counts["client"] / hosts, counts["script"] / hosts
            bench.figures.beside.sent[name] = sent
            bench.say(f"  {name}: {sent[0]:.1f} commands a host are sent, {sent[1]:.1f} called by scripts")
