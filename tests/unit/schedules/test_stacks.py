"""A stack that threads start, stop and harm at the same time, with parts that are no processes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.stack import child, stack
from lockstep.producer.stack.processes import Role
from tests.unit.schedules import Check, Schedule, explore

LATER = 10.0
"""Seconds in which what was not stopped for good would start again."""


class Parts:
    """What runs of a stack; none is begun, or known to it, once the guard is gone."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.running: set[str] = set()
        self.begun = False
        self.guarded = True
        self.published = False

    def begin(self, name: str) -> None:
        if not self.guarded:
            raise ValueError("I/O operation on closed file")
        self.schedule.point()
        self.running.add(name)
        self.begun = True

    def close(self) -> None:
        """Do what the guard does when its pipe closes."""
        self.guarded = False
        self.schedule.point()
        self.running.clear()

    def withdraw(self) -> None:
        self.published = False
        self.schedule.point()

    def publish(self, _: object) -> None:
        self.schedule.point()
        self.published = True


class Part:
    """A child that is there as soon as it is begun."""

    nodes = {"node1": "http://node1"}  # noqa: RUF012 - nobody changes it
    admin_url = "http://admin"
    fate = "ended"

    def __init__(self, parts: Parts, name: str) -> None:
        self._parts, self.name, self.wanted = parts, name, False

    @property
    def running(self) -> bool:
        return self.name in self._parts.running

    def launch(self) -> None:
        self.wanted = True
        if not self.running:
            self._parts.begin(self.name)

    start = launch

    def terminate(self) -> None:
        self.wanted = False

    def stop(self) -> None:
        self.terminate()
        self.kill()

    def kill(self) -> None:
        self._parts.schedule.point()
        self._parts.running.discard(self.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stacks have their files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stack, "complaint", lambda *_: None)
    monkeypatch.setattr(stack.Stack, "_environment", lambda _: {})
    return tmp_path


def made_of(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> stack.Stack:
    class Cluster(Part):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(parts, Role.CLUSTER)

    def part(name: str, *_: object, **__: object) -> Part:
        return Part(parts, name)

    publication = SimpleNamespace(
        path=Path("published"), lock=0, publish=parts.publish, withdraw=parts.withdraw
    )
    monkeypatch.setattr(stack, "Guard", lambda *_: parts)
    monkeypatch.setattr(stack, "Publication", lambda: publication)
    monkeypatch.setattr(stack, "Child", Part)
    monkeypatch.setattr(stack, "MockCluster", Cluster)
    monkeypatch.setattr(stack, "celery", part)
    return stack.Stack(redis_url="redis://there", publish=True)


Deed = Callable[[stack.Stack], object]
STOP: Deed = stack.Stack.stop
KILL: Deed = partial(stack.Stack.kill, role=Role.CLUSTER)


@pytest.mark.parametrize("deeds", [[STOP, KILL], [STOP, STOP]], ids=["stop, kill", "stop, stop"])
@pytest.mark.parametrize("started", [False, True], ids=["while it starts", "later"])
def test_nothing_of_a_stack_is_left_once_it_was_stopped_from_whichever_thread(
    deeds: list[Deed], started: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scenario(schedule: Schedule) -> Check:
        parts = Parts(schedule)
        made = made_of(parts, monkeypatch)

        def do(deed: Deed) -> None:
            schedule.block(lambda: parts.begun)
            deed(made)
            schedule.block(lambda: False, LATER)

        if started:
            made.start()
        else:
            schedule.thread(made.start)
        for deed in deeds:
            schedule.thread(do, deed)

        def check() -> None:
            watching: Any = made._supervisor
            assert (parts.running, parts.guarded, parts.published) == (set(), False, False)
            assert not watching._thread.is_alive()
            shutil.rmtree(made.directory)

        return check

    tried = explore(scenario, [stack, child], most=600)
    assert tried.complete >= 1, "every schedule with one departure"
    assert not list(folder.iterdir())
