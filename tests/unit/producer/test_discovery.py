"""How a running stack is found, and kept from starting twice."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from lockstep.producer import discovery
from lockstep.producer.discovery import (
    AlreadyRunning,
    Publication,
    RunningStack,
    discover,
    is_held,
    write_secret,
)

STACK = RunningStack(os.getpid(), "http://127.0.0.1:1", {"redis_url": "redis://127.0.0.1:7000/0"})


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stack of an environment of this test's own says what it is."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path / "var" / "lockstep" / "stack.json"


class Clock:
    """Time that passes while somebody sleeps, and a little with each look at it."""

    def __init__(self) -> None:
        self.now = self.slept = 0.0

    def monotonic(self) -> float:
        self.now += 0.0001
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds < 0.1, "somebody waits for the stack"
        self.now += seconds
        self.slept += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(discovery, "time", made)
    return made


def test_a_stack_is_found_while_it_runs_and_leaves_nothing(place: Path) -> None:
    before = descriptors()
    for _ in range(2):
        publication = Publication()
        assert discover() is None, "it has not said what it is"
        publication.publish(STACK)
        assert discover() == STACK
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert place.read_text() == json.dumps(json.loads(place.read_text()), indent=2) + "\n"
        assert json.loads(place.read_text())["format"] == 2, "another needs a new number"
        publication.withdraw()
        assert (discover(), is_held(place.parent), list(place.parent.iterdir())) == (None, False, [])
        publication.leave()
    assert descriptors() == before


def test_what_a_stack_left_that_was_killed_is_nothing_to_the_next(place: Path) -> None:
    killed = Publication()
    killed.publish(STACK)
    place.with_suffix(".new").write_text("half")
    killed.leave()
    assert discover() is None, "nobody holds the lock"
    publication = Publication()
    assert (discover(), place.exists()) == (None, False)
    publication.publish(STACK)
    assert discover() == STACK
    place.unlink()
    publication.withdraw()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "pid": 1}', '{"format": 2, "pid": 1}'])
def test_what_another_version_says_is_not_taken(place: Path, text: str) -> None:
    publication = Publication()
    place.write_text(text)
    assert discover() is None
    publication.withdraw()


def test_a_second_stack_does_not_start_and_says_which_runs(clock: Clock) -> None:
    first = Publication()
    before = descriptors()
    with pytest.raises(AlreadyRunning, match="a stack already runs from this environment; use it, or stop"):
        Publication()
    assert 0.45 < clock.slept < 0.55, "who only looks holds the lock for a moment"
    first.publish(STACK)
    with pytest.raises(AlreadyRunning, match=rf"environment \(process {STACK.pid}\); use it"):
        Publication()
    assert descriptors() == before
    first.withdraw()


def test_a_secret_is_written_to_a_new_file_alone(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "there", "secret")
    assert (tmp_path / "there").read_text() == ""
