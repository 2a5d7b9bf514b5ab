"""Lockstep beside itself at an earlier commit: what it costs that has been built since.

Both run at the same time and take turns, so that a busy machine is as busy for both. What only the earlier
one imports is to be installed beside the benchmark's own packages.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.samples import Case

COMMIT = "EARLIER"
"""Names the commit, in the environment."""
ROOT = Path(__file__).parents[2]
SOURCES = ("benchmarks", "lockstep", "mock_api", "producer", "worker")
CASES = (("lockstep", 10), ("lockstep", 1000), ("lockstep_per_host", 1000))
PAIRS = 12


def measure(bench: Bench) -> None:
    """Run pairs of the same job, each begun by the other of the two."""
    commit = os.environ.get(COMMIT)
    if not commit:
        bench.say(f"  not measured: say {COMMIT}=COMMIT")
        return
    tree = bench.directory / "earlier"
    packed = subprocess.run(["git", "archive", commit, *SOURCES], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(tree, filter="data")
    for peer, hosts in CASES:
        with ExitStack() as open_ones:
            both = [
                open_ones.enter_context(bench.session(peer, hosts, env={"PYTHONPATH": str(path)}))
                for path in (tree, ROOT)
            ]
            for session in both:
                session.warm_up()
            for number in range(2 if bench.quick else PAIRS):
                turns = both[:: 1 - number % 2 * 2]
                ran = {session: session.run(Case(hosts)) for session in turns}
                then, now = (ran[session] for session in both)
                bench.figures.beside.earlier.setdefault((peer, hosts), []).append((then, now))
                bench.say(f"  {peer}, {hosts} hosts: {then.seconds:.3f} s then, {now.seconds:.3f} now")
