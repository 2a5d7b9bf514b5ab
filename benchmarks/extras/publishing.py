"""How soon a job is accepted and published, and whether its producer grows. No worker runs meanwhile."""

from __future__ import annotations

from benchmarks.bench import Bench

PEERS = ("stock", "lockstep")
SIZES = (1000, 5000)
WARM = 5


def measure(bench: Bench) -> None:
    """Take turns at publishing; nobody works on what is published."""
    found = bench.figures.beside
    with (
        bench.session(PEERS[0], max(SIZES), with_workers=False) as stock,
        bench.session(PEERS[1], max(SIZES), with_workers=False) as lockstep,
    ):
        sessions = dict(zip(PEERS, (stock, lockstep), strict=True))
        more = 5 if bench.quick else 20
        for name, session in sessions.items():
            held = [
                float(session.ask(do="publish", group=f"grow{job}", hosts=SIZES[0])["resident_mb"])
                for job in range(WARM + more)
            ]
            found.growth[name] = (held[-1] - held[WARM - 1]) / more
            bench.say(f"  {name} grows by {found.growth[name]:.3f} MB for 1000 hosts published")
        for number in range(bench.repeats):
            for size in SIZES:
                for name, session in sessions.items():
                    said = session.ask(do="publish", group=f"publish{size}-{number}", hosts=size)
                    found.published.setdefault((name, size), []).append(said["published"])
                    bench.say(f"  {name} publishes {size} hosts in {said['published']:.3f} s")
