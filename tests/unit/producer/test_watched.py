"""How a child is waited for, ended and looked after, to the step; and what its guard is told."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.discovery import StackError
from lockstep.producer.stack import child as module
from lockstep.producer.stack import guard, ports
from lockstep.producer.stack.child import Child, ChildState, Supervisor
from lockstep.producer.stack.guard import Guard
from tests.waits import PATIENCE, eventually


class Clock:
    """Time that goes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for each in (module, guard):
        monkeypatch.setattr(each, "time", made)
    return made


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with closing(Child("dummy", ["sleep", "600"], directory=tmp_path, sign="never")) as made:
        yield made


def test_a_child_is_looked_at_many_times_a_second_until_its_time_is_over(child: Child, clock: Clock) -> None:
    with pytest.raises(StackError, match=r"dummy was not ready within 1 s, and wrote nothing"):
        child.start(1.0)
    assert 20 <= len(clock.slept) <= 100
    assert 1.0 < clock.now < 1.1


def test_a_child_is_asked_to_end_and_its_guard_told(child: Child) -> None:
    told: list[str] = []
    child._sign = ""
    for number in range(2):
        child.start()
        child._guard.forget = told.append  # type: ignore[method-assign,assignment]
        assert os.getsid(child.pid) == child.pid, "Ctrl-C in the terminal does not reach it"
        assert child.starts == number + 1
        child.stop()
        assert (child.fate, child.running, child.wanted) == ("was killed by SIGTERM", False, False)
        assert child._number in told
    child.close()
    assert child._guard._process.poll() is not None, "its own guard is gone, too"


def test_a_child_may_take_its_grace_to_end(tmp_path: Path) -> None:
    script = "trap 'sleep 0.1; exit 7' TERM; echo here; while :; do sleep 0.01; done"
    with Child("slow", ["sh", "-c", script], directory=tmp_path, sign="here") as slow:
        slow.stop()
        assert slow.fate == "ended with status 7"


def test_the_guard_of_others_outlives_a_child(tmp_path: Path) -> None:
    with closing(Guard()) as shared:
        with Child("dummy", ["sleep", "600"], directory=tmp_path, guard=shared):
            pass
        assert shared._process.poll() is None


@pytest.mark.parametrize(
    ("script", "fate"),
    [
        ("exit 0", "ended with status 0"),
        ("kill -HUP $$", "was killed by SIGHUP"),
        ("exit 1", "ended with status 1"),
    ],
)
def test_how_a_child_ended_is_told_in_words(tmp_path: Path, script: str, fate: str) -> None:
    with closing(Child("dummy", ["sh", "-c", script], directory=tmp_path)) as made:
        made.launch()
        eventually(lambda: not made.running, "it ended")
        assert made.fate == fate


def supervisor(child: Any) -> Supervisor:
    return Supervisor([child], threading.RLock(), lambda _: None)


def test_a_child_counts_as_well_after_ten_seconds_and_starts_when_it_is_due() -> None:
    launched: list[bool] = []
    made: Any = SimpleNamespace(
        name="dummy", fate="ended", wanted=True, running=True, launch=lambda: launched.append(True)
    )
    state, looks = ChildState(made, failures=3, since=100.0), supervisor(made)
    looks._look(state, 110.0)
    assert state.failures == 3
    looks._look(state, 110.001)
    assert state.failures == 0
    made.running = False
    looks._look(state, 200.0)
    assert (state.due, state.failures, launched) == (200.2, 1, [])
    looks._look(state, 200.19)
    assert launched == []
    looks._look(state, 200.2)
    assert (state.since, launched) == (200.2, [True])


def test_a_supervisor_looks_some_times_a_second_and_says_what_went_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    looks = supervisor(SimpleNamespace(name="dummy", wanted=True))  # it cannot tell whether it runs
    waits: list[float] = []

    def wait(within: float) -> bool:
        waits.append(within)
        return len(waits) > 2

    looks._done = cast(Any, SimpleNamespace(wait=wait))
    looks._run()
    assert all(0 < each <= 0.5 for each in waits)
    assert caplog.messages == ["while looking after dummy"] * 2
    assert looks._thread.daemon, "whoever forgets to stop it can end"


def test_a_supervisor_that_is_stopped_starts_nothing_more() -> None:
    supervisor(None).stop()  # it was not started
    looking, go_on = threading.Event(), threading.Event()

    def launch() -> None:
        looking.set()
        go_on.wait(PATIENCE)

    made: Any = SimpleNamespace(name="dummy", fate="ended", wanted=True, running=False, launch=launch)
    looks = supervisor(made)
    with ThreadPoolExecutor(1) as threads:
        looks.start()
        assert looking.wait(PATIENCE)
        stopped = threads.submit(looks.stop)
        with pytest.raises(TimeoutError):
            stopped.result(0.1)
        go_on.set()
        stopped.result(PATIENCE)
    assert not looks._thread.is_alive()


def test_the_guard_waits_a_second_for_what_it_killed_and_removes_its_own_paths_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "killpg", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(guard, "is_alive", lambda pid: True)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=[b"+0 4711\n"]))
    monkeypatch.setattr(sys, "argv", ["guard", str(tmp_path / "file")])
    monkeypatch.chdir(tmp_path)
    for name in ("guard", "file"):
        (tmp_path / name).touch()
    guard.main()
    assert (killed, 50 <= len(clock.slept) <= 150, 0.9 < clock.now < 1.1) == ([4711], True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["guard"]
    clock.slept.clear()
    monkeypatch.setattr(guard, "is_alive", lambda pid: False)
    guard.main()
    assert clock.slept == []


def test_a_guard_is_done_when_it_is_closed_and_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = Guard([tmp_path / "file"])
    assert os.getsid(made._process.pid) == made._process.pid
    made.close()
    assert (made._process.returncode, list(tmp_path.iterdir())) == (0, [])
    made.forget("1")  # nobody is there to hear it


def test_whether_a_process_is_there_is_asked_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: asked.append(number))
    assert guard.is_alive(4711)
    assert asked == [0]


def test_a_port_that_somebody_else_has_is_not_given() -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as other:
            other.bind((ports.LOOPBACK, 0))
            taken = other.getsockname()[1]
            assert ports.free_port(taken) != taken


def test_a_port_whose_last_connection_has_just_ended_is_given() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((ports.LOOPBACK, port)), server.accept()[0] as ours:
            ours.shutdown(socket.SHUT_RDWR)
            assert ports.accepts(port)
    assert not ports.accepts(port)
    assert ports.free_port(port) == port
