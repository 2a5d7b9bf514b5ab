"""A worker that is started again when it exits, as every stack does."""

from __future__ import annotations

from tests.integration.worker.harness import Bench


def keep_running(bench: Bench, name: str, queues: str = "operations,rollback") -> None:
    """Start a worker under a loop; it is not waited for."""
    program = (
        "import subprocess, sys\n"
        f"while subprocess.call([sys.executable, '-m', 'celery', '-A', 'worker', 'worker', '-n', '{name}@%h',"
        f" '-Q', '{queues}', '--without-gossip', '--without-mingle', '-l', 'INFO']): pass\n"
    )
    bench.child(name, ["-c", program])
