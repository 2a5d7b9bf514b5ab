"""A worker that may open too few files for its threads starts nothing, and holds up nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

from lockstep.producer.stack.child import Child
from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import eventually

HOSTS = 300
CELERY = [sys.executable, "-m", "celery", "-A", "lockstep", "worker", "-Q", "operations,rollback"]
LIMITED = ["/bin/sh", "-c", 'ulimit -n 64 && exec "$@"', "worker", *CELERY]


def test_a_worker_with_too_few_files_changes_nothing_and_keeps_nobody_from_it(tmp_path: Path) -> None:
    with parts(tmp_path / "parts", nodes=HOSTS) as found:
        bench = Bench(*found, tmp_path / "bench", {"deadline": "100", "hosts_per_task": "50"})
        limited = Child("few", LIMITED, directory=bench.directory, guard=bench.guard, env=bench.env)
        try:
            operation = bench.start(Action.CREATE)
            limited.launch()
            eventually(lambda: not limited.running, "it says no, and ends")
            assert "open files, and 64 are allowed (ulimit -n): raise that limit" in limited.output()
            assert "Traceback" not in limited.output()
            assert bench.holding() == set()
            bench.run_all()
            assert bench.end(operation, 110).operation.state is State.COMMITTED
            assert len(bench.holding()) == HOSTS
        finally:
            limited.stop()
            bench.close()
