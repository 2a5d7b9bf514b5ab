"""The demo and `make up` as functions of this process: what they say, and that nothing of them is left.

What they start is forked from a warm process. The signals that stop them as commands are tested elsewhere.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from lockstep import ClusterClient, State
from lockstep.producer.demo.__main__ import main as demo
from lockstep.producer.discovery import AlreadyRunning, Publication, RunningStack, discover, discovery_file
from lockstep.producer.stack import Role, Stack, command, processes
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.settings import load_settings
from tests.leftovers import living
from tests.waits import PATIENCE, eventually
from tests.warm import warming

ELSEWHERE = {"LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "LOCKSTEP_HOSTS": "http://127.0.0.1:2"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment that is set up for another cluster; nothing of a stack is left in it at the end."""
    place = tmp_path / "temporary"
    place.mkdir()
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    before = signal.getsignal(signal.SIGINT)
    with warming():
        yield place
    signal.signal(signal.SIGINT, before)
    assert (list(place.iterdir()), living(place), discovery_file().exists()) == ([], [], False)


def test_the_demo_ends_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo() == 0
    shown = capsys.readouterr().out
    assert re.findall(r"(create|delete) (team-[abc])  (committed|rolled_back) in", shown) == [
        ("create", "team-a", "committed"),
        ("create", "team-b", "rolled_back"),
        ("delete", "team-a", "rolled_back"),
        ("delete", "team-a", "committed"),
        ("create", "team-c", "rolled_back"),
    ]
    assert re.search(r"node2 +present +not changed +0 +present, untouched ✓", shown)
    assert (shown.count("✓"), shown.count("✗")) == (25, 0)
    assert "nothing is left running" in shown


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def started(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `make up` to its end, and return its code and what it said."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.main(["--no-flower", "--nodes", "2", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_up_says_where_it_is_mends_what_dies_and_ends_with_ctrl_c(
    started: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first port is taken, and a user has another Redis."""
    up, show = Future[Stack](), command.show

    def shown(stack: Stack, ignored: Sequence[str]) -> None:
        show(stack, ignored)
        monkeypatch.delenv("LOCKSTEP_HOSTS")  # as whoever is to reach the stack was told
        up.set_result(stack)

    def use() -> RunningStack | None:
        stack, found = up.result(PATIENCE), discover()
        try:
            if found:
                stack.kill(Role.BEAT)
                eventually(lambda: stack.process(Role.BEAT).starts == 2, "beat is started again")
                with ClusterClient(load_settings(**found.settings)) as client:
                    assert client.create_group("team-c").wait(PATIENCE).state is State.COMMITTED
                with pytest.raises(AlreadyRunning, match=rf"\(process {os.getpid()}\); use it, or stop it"):
                    Publication()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(command, "show", shown)
    monkeypatch.setattr(command, "FIRST_PORT", first := free_port())  # 5001 may be another stack's just now
    with socket.create_server((LOOPBACK, first)), ThreadPoolExecutor(1) as thread:
        used = thread.submit(use)
        code, out, err = started()
        up.cancel()
    found = used.result()
    assert found is not None
    assert (code, err) == (0, "")
    assert out.index("Lockstep is up.") < out.index("Ctrl-C stops it all and keeps nothing.")
    assert re.search(rf"Redis +redis://…@{LOOPBACK}:\d+/0\n", out), out
    assert re.search(
        rf"Cluster +node1 +http://{LOOPBACK}:\d+/docs\n +node2 .*\n +admin +{found.admin_url}/docs", out
    )
    assert f"Ports from {first} on are taken, so the nodes have others.\n" in out
    told = " ".join(out.split())  # as wide as whoever runs the tests has his terminal
    assert "LOCKSTEP_REDIS_URL is set here and plays no part; --redis makes the stack use it." in told
    assert "LOCKSTEP_HOSTS is set here and plays no part." in told
    assert "beat was killed by SIGKILL; it starts again in 0.2 s\n" in out
    assert out.endswith("Stopped; nothing is left running.\n")


def test_up_that_cannot_start_says_why_in_one_line(
    started: Say, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Publication()
    first.publish(RunningStack(4711, "http://127.0.0.1:2", {"redis_url": "redis://127.0.0.1:1/0"}))
    running = (
        "error: a stack already runs from this environment (process 4711); use it, or stop it with Ctrl-C\n"
    )
    assert started() == (2, "", running)
    first.withdraw()

    code, out, err = started("--redis")
    assert (code, out) == (1, "")
    assert err.startswith("error: the Redis given does not serve: Redis does not answer")
    monkeypatch.delenv("LOCKSTEP_REDIS_URL")
    unset = "--redis without a URL means that of LOCKSTEP_REDIS_URL, which is not set: give one of them"
    assert started("--redis") == (2, "", f"error: {unset}\n")

    monkeypatch.setattr(processes, "packaged_server", lambda: None)
    monkeypatch.setenv("PATH", str(place))
    code, out, err = started()
    assert (code, out) == (1, "")
    assert err.startswith("error: no Redis server was found: there is no packaged one for this machine")
    server = place / "redis-server"
    server.write_text("#!/bin/sh\necho it is a dummy\nexit 3\n")
    server.chmod(0o700)
    dummy = "error: redis ended with status 3 while it was starting:\n  it is a dummy\n"
    assert started() == (1, "", dummy)
    server.unlink()


def test_a_number_of_nodes_that_is_none_is_refused(started: Say) -> None:
    for wrong in ("0", "201", "five"):
        with pytest.raises(SystemExit, match="2"):
            started("--nodes", wrong)
