"""What is said of a child that does not start, or ends again and again, and what the guard does."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from lockstep.producer.discovery import StackError
from lockstep.producer.stack import guard, processes
from lockstep.producer.stack.child import STEADY, Child, ChildState, Supervisor
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.producer.stack.processes import RedisServer
from tests.waits import eventually


def shell(directory: Path, script: str, grace: float = 5.0) -> Child:
    return Child("dummy", ["sh", "-c", script], directory=directory, grace=grace)


def test_a_child_that_ends_while_it_starts_says_how_and_its_last_lines(tmp_path: Path) -> None:
    class Slow(Child):
        def ready(self) -> bool:
            return False

    child = Slow("dummy", ["sh", "-c", "seq 20; exit 3"], directory=tmp_path)
    with pytest.raises(StackError, match="dummy was never started"):
        _ = child.pid
    assert (child.fate, child.running) == ("has not ended", False)
    lines = "\n".join(f"  {number}" for number in range(9, 21))
    with pytest.raises(StackError) as ended, child:
        pass
    assert str(ended.value) == f"dummy ended with status 3 while it was starting:\n{lines}"

    with pytest.raises(StackError) as late:
        Slow("slow", ["sleep", "600"], directory=tmp_path).start(0.01)
    assert str(late.value) == "slow was not ready within 0.01 s, and wrote nothing"


def test_a_cluster_has_the_ports_that_it_was_promised_all_or_none(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        taken = other.getsockname()[1]
        free = processes.MockCluster(tmp_path, 2, first_port=taken - 1)
        assert not {taken - 1, taken} & ports_of(free)
        with processes.MockCluster(tmp_path, 1) as cluster:
            told = json.loads(cluster.output().splitlines()[0])
            assert (told["nodes"], told["admin"]) == (cluster.nodes, cluster.admin_url)
            before = ports_of(cluster)
            cluster.kill()
            cluster.start()
            assert ports_of(cluster) == before
            assert len(ports_of(free) | before) == 5


def ports_of(cluster: processes.MockCluster) -> set[int]:
    return {int(url.rpartition(":")[2]) for url in (*cluster.nodes.values(), cluster.admin_url)}


def test_a_child_that_is_deaf_is_killed_after_its_grace(tmp_path: Path) -> None:
    with shell(tmp_path, "trap '' TERM; echo deaf; while :; do sleep 600; done", grace=0.05) as child:
        eventually(lambda: "deaf" in child.output(), "it is deaf")
        child.stop()
        assert (child.fate, child.wanted) == ("was killed by SIGKILL", False)


def test_a_child_that_ends_again_and_again_is_started_more_slowly(tmp_path: Path) -> None:
    told: list[str] = []
    with closing(shell(tmp_path, "exit 1")) as child:
        child.launch()
        patient = ChildState(child)
        supervisor = Supervisor([child], threading.RLock(), told.append)
        now = 0.0
        for _ in range(7):
            eventually(lambda: not child.running, "it ended")
            supervisor._look(patient, now)
            starts = child.starts
            supervisor._look(patient, now + 0.1)
            assert child.starts == starts, "not before its time"
            now += 5.0
            supervisor._look(patient, now)
            assert child.starts == starts + 1
    delays = [line.removeprefix("dummy ended with status 1; it starts again in ") for line in told]
    assert delays == ["0.2 s", "0.4 s", "0.8 s", "1.6 s", "3.2 s", "5 s", "5 s"]


def test_a_child_that_ran_for_a_while_counts_as_well_again(tmp_path: Path) -> None:
    told: list[str] = []
    with shell(tmp_path, "exec sleep 600") as child:
        patient = ChildState(child, failures=4)
        supervisor = Supervisor([child], threading.RLock(), told.append)
        supervisor._look(patient, STEADY)
        assert patient.failures == 4
        supervisor._look(patient, STEADY + 1)
        child.kill()
        supervisor._look(patient, STEADY + 2)
        assert told == ["dummy was killed by SIGKILL; it starts again in 0.2 s"]
        child.stop()
        supervisor._look(patient, STEADY + 9)
        assert child.starts == 1, "whoever stopped it does not want it"


def test_redis_moves_to_another_port_when_somebody_took_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the one that it has had: clients know it."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken, free = other.getsockname()[1], free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(processes, "free_port", lambda: next(ports))
        with RedisServer(tmp_path) as server:
            assert (server.port, server.url) == (free, f"redis://{LOOPBACK}:{free}/0")
            server.stop()
            server.start()
            assert server.port == free


def test_the_guard_kills_who_was_not_reported_gone_and_removes_its_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: dict[signal.Signals, object] = {}
    monkeypatch.setattr(signal, "signal", handled.__setitem__)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").touch()
    (tmp_path / "file").touch()
    paths = [tmp_path / "directory", tmp_path / "file", tmp_path / "never there"]
    with (
        subprocess.Popen(["sleep", "600"], start_new_session=True) as left,
        subprocess.Popen(["sleep", "600"], start_new_session=True) as gone,
    ):
        try:
            reports = f"+0 {left.pid}\n+1 {gone.pid}\n-1\n".encode()
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(reports)))
            monkeypatch.setattr(sys, "argv", ["guard", *map(str, paths)])
            monkeypatch.setattr(guard, "LAST_WAIT", 0.05)  # nobody reaps it here meanwhile
            guard.main()
            assert left.wait() == -signal.SIGKILL
            assert gone.poll() is None
        finally:
            left.kill()
            gone.kill()
    assert list(tmp_path.iterdir()) == []
    assert set(handled) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    assert set(handled.values()) == {signal.SIG_IGN}, "it outlives whoever Ctrl-C ends"


def test_a_process_of_somebody_else_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert guard.is_alive(1)
