"""The layers that may catch a mutant, cheapest first; each runs in a copy of the tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCHEDULES = 5_000
LIMIT = 1200
"""Seconds after which a layer that has not ended has caught nothing."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: a command of Python, and which line of its output says what was found."""

    name: str
    arguments: tuple[str, ...]
    finding: re.Pattern[str]

    def catches(self, root: Path) -> str | None:
        """Run it in a tree; return what it found, None if it is content."""
        done = ran(root, self.arguments, LIMIT)
        if done is None or done.returncode == 0:
            return None
        lines = [line for line in (done.stdout + done.stderr).splitlines() if self.finding.search(line)]
        return lines[0].strip() if lines else f"exit status {done.returncode}"


def ran(root: Path, arguments: Sequence[str], limit: float) -> subprocess.CompletedProcess[str] | None:
    """Run Python in a tree; None if it has not ended within so many seconds."""
    command = [sys.executable, "-B", *arguments]
    try:
        return subprocess.run(
            command,
            cwd=root,
            env=environment(root),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def environment(root: Path) -> dict[str, str]:
    """Everything is imported from the copy, and compiled code is kept away from the real tree's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    temporary = root / "temporary"
    temporary.mkdir(exist_ok=True)
    compiled = str(root / "pycache")
    return {**kept, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": compiled, "TMPDIR": str(temporary)}


def pytest(*paths: str) -> tuple[str, ...]:
    """Return the arguments that run these tests until the first failure."""
    return ("-m", "pytest", "-x", "-q", *paths)


FAILED = re.compile(r"^(FAILED|ERROR) ")
SIMULATION = Layer("simulation", ("-m", "tests.mutants.simulate", str(SCHEDULES)), re.compile(r"^seed "))
RECORD = pytest(
    "tests/contract",
    *(
        f"--ignore=tests/contract/{what}"
        for what in ("producer", "things", "test_tls_hosts.py", "test_worker.py")
    ),
)
"""The record and the steps alone: a copy has no files for the others, which take five times as long."""
COMMANDS = pytest("tests/integration/test_stack.py", "tests/integration/producer/test_cli_process.py")
"""The commands in processes of their own: what a shell runs, `make up` and `make demo`."""
WORKERS = pytest(
    *("tests/unit/test_open_files.py", "tests/contract/test_worker.py"),
    *(
        f"tests/watch/test_{what}"
        for what in (
            "logs.py::test_lines_are_json_with_the_ids_of_their_task_and_no_secret_is_told_anywhere",
            "tracing.py::test_a_rollback_is_in_the_same_trace",
            "metrics.py::test_workers_count_what_was_done_and_show_how_things_stand",
            "probes.py::test_beat_is_ready_once_it_has_reached_redis_and_a_dead_one_is_not_live",
        )
    ),
    *(
        f"tests/integration/worker/test_{what}"
        for what in (
            "poison.py",
            "reload.py",
            "messages.py::test_prefork_works_and_stops_the_same_way",
            "messages.py::test_two_beats_do_no_harm",
            "patrol.py::test_a_host_that_never_returns_is_abandoned_and_the_others_are_restored",
        )
    ),
    "tests/integration/producer/test_real_workers.py::test_doctor_finds_nothing_wrong_with_a_whole_stack",
)
"""Both pools, beat, sweep, patrol, rollback, and all that watches them; most in processes of their own, which
import the copy as well."""
CONTRACT = Layer("contract", RECORD, FAILED)
UNIT = Layer(
    "unit",
    pytest(
        *(
            f"tests/unit/{what}"
            for what in (
                "test_host.py",
                "test_transport.py",
                "test_answers.py",
                "test_carried.py",
                "test_scripts.py",
                "operation",
            )
        )
    ),
    FAILED,
)
CHAOS = Layer("chaos", ("-m", "tests.chaos", "--only", "threads"), re.compile(r"^VIOLATION "))
OF_PLACE: dict[str, Sequence[Layer]] = {
    "twin": (SIMULATION, CONTRACT),
    "script": (CONTRACT, CHAOS),
    "code": (UNIT, SIMULATION, CHAOS),
}
