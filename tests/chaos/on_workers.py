"""What is done to workers: each way to kill, stop or starve one."""

from __future__ import annotations

import os
import random
import resource
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.children import Worker
from tests.chaos.rig import Rig
from tests.waits import eventually

RECOVERY = 60.0
"""Seconds until a restarted process must be ready; a busy machine takes its time."""
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
"""Where a process can be given a memory limit of its own, if this is there and ours."""

FEW_FILES = 8
"""Descriptors that a process may have: fewer than it has."""


class Workers:
    """The workers of a rig. Each nemesis heals what it broke before it returns."""

    def __init__(self, rig: Rig, dice: random.Random, pause: Callable[[float], object]) -> None:
        self._rig, self._dice, self._pause, self._times = rig, dice, pause, rig.plan.times

    def nemeses(self) -> Mapping[str, Callable[[], str]]:
        workers: dict[str, Callable[[], str]] = {
            "worker killed": self.kill_worker,
            "workers restarted in turn": self.restart_workers,
            "worker frozen": self.freeze_worker,
            "worker out of descriptors": self.close_off_worker,
        }
        if os.access(MEMORY_GROUPS, os.W_OK):
            workers["worker out of memory"] = self.starve_worker
        if self._rig.plan.pool == "prefork":
            workers["pool process killed"] = self.kill_pool_process
        return workers

    def _worker(self) -> Worker:
        """Choose one, and wait until it works: what else is broken may just have ended it."""
        worker = self._dice.choice(self._rig.workers)
        eventually(lambda: worker.running and worker.ready(), f"{worker.name} works", RECOVERY)
        return worker

    def _back(self, worker: Worker, starts: int) -> None:
        eventually(
            lambda: worker.starts > starts and worker.running and worker.ready(),
            f"{worker.name} was started again",
            RECOVERY,
        )

    def kill_worker(self) -> str:
        worker = self._worker()
        with self._rig.lock:
            starts = worker.starts
            worker.kill()
        self._back(worker, starts)
        return worker.name

    def starve_worker(self) -> str:
        """Whatever it needs more is above its limit: the kernel's OOM killer ends one of its processes."""
        worker = self._worker()
        group = Path(mkdtemp(prefix="lockstep-chaos-", dir=MEMORY_GROUPS))
        try:
            with self._rig.lock:
                if not worker.running:
                    return ""
                starts, before = worker.starts, worker.pool()
                (group / "memory.limit_in_bytes").write_text(str(1 << 16))
                for process in (*before, worker.pid):
                    with suppress(ProcessLookupError):
                        (group / "cgroup.procs").write_text(str(process))

            def killed() -> bool:
                told = (group / "memory.oom_control").read_text()
                return "oom_kill 0" not in told or worker.starts > starts

            eventually(killed, f"the kernel kills a process of {worker.name}", RECOVERY)
            with self._rig.lock:
                if worker.starts == starts:
                    worker.kill()
            self._back(worker, starts)
        finally:
            eventually(lambda: not (group / "cgroup.procs").read_text(), "the group is empty", RECOVERY)
            group.rmdir()
        return worker.name

    def restart_workers(self) -> str:
        for worker in self._rig.workers:
            with self._rig.lock:
                starts = worker.starts
                if worker.running:
                    os.kill(worker.pid, signal.SIGTERM)
            self._back(worker, starts)
        return "all"

    def freeze_worker(self) -> str:
        worker = self._worker()
        with self._rig.lock:
            starts, works = worker.starts, worker.running
            if works:
                worker.signal_all(signal.SIGSTOP)
        self._pause(self._times.worker_frozen)
        with self._rig.lock:
            if works and worker.running and worker.starts == starts:
                worker.signal_all(signal.SIGCONT)
        return worker.name if works else ""

    def close_off_worker(self) -> str:
        """No process of a worker may open another file or connection; what it has open stays."""
        worker = self._worker()
        before: dict[int, int] = {}
        with self._rig.lock:
            for process in [worker.pid, *worker.pool()] if worker.running else []:
                with suppress(ProcessLookupError):
                    before[process] = _files(process, FEW_FILES)
        self._pause(self._times.silence)
        for process, most in before.items():
            with suppress(ProcessLookupError):
                _files(process, most)
        return f"{worker.name}: {len(before)} processes" if before else ""

    def kill_pool_process(self) -> str:
        worker = self._worker()
        with self._rig.lock:
            found = worker.pool() if worker.running else []
            victim = self._dice.choice(found) if found else None
            if victim is not None:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        return f"{worker.name}: one" if victim else ""


def _files(process: int, most: int) -> int:
    """Let a process have so many files at most; return how many it could have before."""
    before, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (most, hard))
    return before
