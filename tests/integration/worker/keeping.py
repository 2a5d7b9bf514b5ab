"""A worker that is started again when it exits, as every stack does."""

from __future__ import annotations

from collections.abc import Sequence

from tests.integration.worker.harness import Bench


def keep_running(
    bench: Bench, name: str, queues: str = "operations,rollback", options: Sequence[str] = ()
) -> None:
    """Start a worker under a loop; it is not waited for."""
    arguments = [
        "-m",
        "celery",
        "-A",
        "lockstep",
        "worker",
        "-n",
        f"{name}@%h",
        "-Q",
        queues,
        "-l",
        "INFO",
        *options,
    ]
    program = f"import subprocess, sys\nwhile True: subprocess.call([sys.executable, *{arguments!r}])\n"
    bench.child(name, ["-c", program])
