"""Who looks after the children of a stack: what does not keep them from it, and what a forked child does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lockstep.producer import discovery
from lockstep.producer.discovery import Publication
from lockstep.producer.stack.child import Child, Supervisor
from lockstep.producer.stack.guard import is_alive, listen
from tests.children import Forked
from tests.waits import eventually


def test_a_supervisor_outlives_whoever_hears_of_it(tmp_path: Path) -> None:
    def deaf(_: str) -> None:
        raise BrokenPipeError

    with sleeper(tmp_path) as child:
        supervisor = Supervisor([child], threading.RLock(), deaf)
        supervisor.start()
        try:
            child.kill()
            eventually(lambda: child.starts == 2 and child.running, "it was started again")
            child.kill()
            eventually(lambda: child.starts == 3 and child.running, "and again")
        finally:
            supervisor.stop()


def sleeper(directory: Path) -> Child:
    return Child("sleeper", ["sleep", "600"], directory=directory)


def test_the_guard_forgets_a_child_and_no_other_that_has_its_pid() -> None:
    said = b"+1 700\n+2 800\n+3 700\n-1\n-2\n-1\nnonsense\n"
    assert listen(io.BytesIO(said)) == {700}


def test_a_forked_child_lets_the_guard_see_that_its_owner_is_gone(tmp_path: Path) -> None:
    owner = """
import os, signal, sys
from pathlib import Path
from lockstep.producer.stack.child import Child
child = Child("sleeper", ["sleep", "600"], directory=Path(sys.argv[1]))
child.start()
forked = os.fork()
if forked == 0:
    child.running
    child.stop()
    signal.pause()
print(child.pid, forked, flush=True)
signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", owner, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child, forked = map(int, process.stdout.readline().split())
        try:
            assert is_alive(child)
            process.kill()
            process.wait()
            eventually(lambda: not is_alive(child), "the guard has killed the child")
        finally:
            os.kill(forked, 9)


def test_a_forked_child_stops_nothing(tmp_path: Path) -> None:
    with sleeper(tmp_path) as child:
        Forked(child.stop).result()
        assert child.running
        assert is_alive(child.pid)
        assert child._guard.pipe >= 0


def test_a_lock_is_let_go_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "discovery_file", lambda: tmp_path / "stack.json")
    publication = Publication()
    publication.withdraw()
    other = os.open(tmp_path, os.O_RDONLY)
    assert other == publication.lock, "the number is another file's now"
    publication.withdraw()
    os.close(other)
